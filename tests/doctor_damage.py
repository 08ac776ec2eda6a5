"""Ways to damage the embedded data: each takes the data's root, whose files may be links to be replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer import datasets
from transfer.doctor.check import examine


def sentences(name: str, root: Path) -> list[str]:
    return examine(datasets.get(name), root).sentences()


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def save_mask(path: Path, mask: Any) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(mask, dtype=np.uint8)).save(path)


def save_image(path: Path, width: int = 8, height: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (9, 99, 199)).save(path)


def truncate_image(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/JPEGImages/000007.jpg"
    content = path.read_bytes()
    rewrite(path, content[: len(content) // 2])


def empty_coco_image(root: Path) -> None:
    rewrite(sorted((root / "coco/val2017").iterdir())[0], b"")


def remove_image(root: Path) -> None:
    (root / "VOCdevkit/VOC2007/JPEGImages/000008.jpg").unlink()


def remove_folder(root: Path) -> None:
    shutil.rmtree(root / "VOCdevkit/VOC2007/SegmentationClass")


def impossible_label(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/SegmentationClass/000003.png"
    with Image.open(path) as image:
        mask = np.array(image)
    mask[0, 0] = 77
    save_mask(path, mask)


def coloured_mask(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/SegmentationClass/000003.png"
    with Image.open(path) as image:
        coloured = image.convert("RGB")
    path.unlink()
    coloured.save(path)


def smaller_mask(root: Path) -> None:
    save_mask(root / "VOCdevkit/VOC2007/SegmentationClass/000003.png", np.zeros((64, 128)))


def shorten_list(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt"
    rewrite(path, b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))


def repeat_name(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt"
    lines = path.read_bytes().splitlines(keepends=True)
    rewrite(path, b"".join([lines[0], *lines[:-1]]))


def leak(root: Path) -> None:
    folder = root / "VOCdevkit/VOC2007/ImageSets/Main"
    lines = (folder / "trainval.txt").read_bytes().splitlines(keepends=True)
    first_of_test = (folder / "test.txt").read_bytes().splitlines(keepends=True)[0]
    rewrite(folder / "trainval.txt", b"".join([*lines[:-1], first_of_test]))


def edit_xml(old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / "VOCdevkit/VOC2007/Annotations/000005.xml"
        text = path.read_text()
        start = text.index(f"<{old}>")
        end = text.index(f"</{old}>")
        rewrite(path, f"{text[:start]}<{old}>{new}{text[end:]}".encode())

    return edit


def edit_coco(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / "coco/annotations/instances_train2017.json"
        content = json.loads(path.read_text())
        change(content)
        rewrite(path, json.dumps(content).encode())

    return edit


def first(**values: Any) -> Callable[[Path], None]:
    return edit_coco(lambda content: content["annotations"][0].update(values))
