"""VOC's XML files and lists, read alike by the doctor, the training and the test. Imports no framework.

Detectron2's own readers differ: its evaluator takes whole numbers only and asks for ``pose``, ``truncated`` and
``difficult``, and its loader takes ``#`` for a comment and a list of two columns for a table
(https://github.com/facebookresearch/detectron2/blob/main/detectron2/evaluation/pascal_voc_evaluation.py and
data/datasets/pascal_voc.py), so that what could be trained on could fail hours later.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from twist_common.images import IMAGE_SUFFIXES

SIDES = ("xmin", "ymin", "xmax", "ymax")
MAX_BYTES = 16 << 20  # an image with 50,000 objects
LABEL_COLUMN = re.compile(r"\s+(-1|0|1)$")  # of lists as <class>_test.txt: is the class in the image?


@dataclass(frozen=True)
class VocObject:
    """An object as its file has it.

    Attributes:
        box: ``xmin, ymin, xmax, ymax`` in pixels; the first is 1 and the last is included.
        difficult: not counted in tests; an object that does not say so is not.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocAnnotation:
    """An image's size in pixels and its objects."""

    width: int
    height: int
    objects: tuple[VocObject, ...]


def read_annotation(path: Path) -> VocAnnotation:
    """Reads an XML file.

    Raises:
        OSError: there is none.
        ValueError: it is no XML, or lacks something; the message begins with what.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES >> 20} MiB")
    try:
        root = ET.fromstring(content)  # Expat itself refuses entities that grow a hundredfold (from 2.4.0 on)
    except (ET.ParseError, LookupError, ValueError) as error:  # an encoding that Expat does not know
        raise ValueError(f"no XML ({error})") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # without the name space
    width, height = (int(_number(root, f"size/{side}")) for side in ("width", "height"))
    if min(width, height) < 1:  # https://github.com/HumanSignal/labelImg/issues/160
        raise ValueError(f"its size is {width} x {height}, not the image's")
    return VocAnnotation(
        width=width,
        height=height,
        objects=tuple(
            VocObject(
                name=_name(item),
                box=_box(item),
                difficult=item.find("difficult") is not None and _number(item, "difficult") != 0,
            )
            for item in root.findall("object")
        ),
    )


def read_names(path: Path, images: Path) -> list[str]:
    """The names in a list, one per line; a second column, of VOC's labels -1, 0 and 1, is left out.

    Args:
        images: their folder: a line that names an image of it has no second column.

    Raises:
        OSError: there is no list.
        UnicodeDecodeError: it is not UTF-8.
    """
    lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    return [
        LABEL_COLUMN.sub("", line) if LABEL_COLUMN.search(line) and not image_of(images, line).is_file() else line
        for line in lines
        if line
    ]


def image_of(images: Path, name: str) -> Path:
    """The image of this name in ``JPEGImages``: VOC's own are ``.jpg``, a user's may have any known suffix."""
    usual = images / f"{name}.jpg"
    suffixes = (each for suffix in IMAGE_SUFFIXES for each in (suffix, suffix.upper()))
    others = (images / f"{name}{suffix}" for suffix in suffixes)
    return usual if usual.is_file() else next((path for path in others if path.is_file()), usual)


def _box(element: ET.Element) -> tuple[float, float, float, float]:
    box = element.find("bndbox")
    if box is None:
        raise ValueError("no bndbox")
    return tuple(_number(box, side, "bndbox/") for side in SIDES)  # type: ignore[return-value] # four


def _name(element: ET.Element) -> str:
    if name := _text(element, "name"):
        return name
    raise ValueError("a name is empty")


def _text(element: ET.Element, path: str, within: str = "") -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"no {within}{path}")
    return found.strip()


def _number(element: ET.Element, path: str, within: str = "") -> float:
    """The number at a path; ``within`` is the path of the element, for errors."""
    text = _text(element, path, within)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{within}{path} is {text[:40]!r}, not a number")
    return number
