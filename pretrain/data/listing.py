"""Which images there are to train on; imports no torch."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePath

from twist_common.errors import UserError, is_not_the_files
from twist_common.images import class_folders, files_below, is_hidden, is_image
from twist_common.shards import ARCHIVES, TarShards, find_shards

MAX_LOOKED_UP = 10_000  # images of a list: file systems over a network take a millisecond for each
# Photographs in formats that are not read, in lower case.
_OTHER_IMAGES = (".heic", ".heif", ".avif", ".gif", ".jfif", ".jp2", ".jxl")
# Folders that data of segmentation have side by side, in lower case.
_IMAGES = {"images", "image", "imgs", "img", "img_dir", "jpegimages", "leftimg8bit"}
_MASKS = {
    "masks",
    "mask",
    "annotations",
    "ann_dir",
    "labels",
    "gt",
    "gtfine",
    "segmentationclass",
    "segmentationobject",
}


def find_train_folder(root: Path) -> Path:
    """Where the training images are: ``root/train``, ``root/imagefolder/train``, or else ``root``, which may be a list.

    Raises:
        UserError: ``root`` does not exist.
    """
    if not root.exists():
        raise UserError(
            f"no data at {root}: give a folder with train/<class>/<image>, images or *.tar, or a list, with --data"
        )
    folders = [root / "train", root / "imagefolder" / "train"]
    return next((folder for folder in folders if folder.is_dir()), root)


def images_by_class(place: Path) -> tuple[list[list[str]], Counter[str]]:
    """The images of each class, below ``place``, and how many images of which suffix are left out: unread formats.

    There is one class where they are not sorted into any.

    Sorted are those of ``place/<class>/**``. Where ``place`` has images of its own, beside folders or not, or is a list
    of paths (relative to where it lies), all are unlabelled.

    Raises:
        UserError: there is no image, or none in one of several class folders; masks lie beside the images; a list
            cannot be read, names no image, one twice or one that is not there.
    """
    if place.is_file():
        return [_listed(place)], Counter()
    left_out: Counter[str] = Counter()

    def images(folder: Path) -> list[str]:
        files = files_below(folder)
        left_out.update(PurePath(name).suffix.lower() for name in files if name.lower().endswith(_OTHER_IMAGES))
        return [name for name in files if is_image(name)]

    classes = class_folders(place)
    if any(is_image(path.name) and not is_hidden(path.name) for path in place.iterdir()):
        return [images(place)], left_out
    masks = [name for name in classes if name.lower() in _MASKS]
    if masks and (photos := next((name for name in classes if name.lower() in _IMAGES), "")):
        raise UserError(f"{place} has {masks[0]}/ beside {photos}/, which are masks: give --data {place / photos}")
    names = [[f"{name}/{image}" for image in images(place / name)] for name in classes]
    if not any(names):
        kinds = Counter(PurePath(name).suffix.lower() or "no suffix" for name in files_below(place)).most_common(3)
        found = f" (it holds {', '.join(f'{number:,} × {kind}' for kind, number in kinds)})" if kinds else ""
        raise UserError(
            f"{place} holds no images{found}: the layout is {place}/<class>/<image>, {place}/<image>, or shards *.tar "
            "in one folder without others"
        )
    if empty := [place / name for name, found in zip(classes, names, strict=True) if not found]:
        more = f", nor do {len(empty) - 1} other class folders" if len(empty) > 1 else ""
        raise UserError(f"{empty[0]} holds no image{more}: remove the folder or fill it")
    return names, left_out


def _listed(path: Path) -> list[str]:
    """The images of a list, each a path in its line; numbers after the paths, as of labels, are left out.

    Lines are read as the first of them is: as it stands, without a number behind it, or with Windows' separators.
    """
    if is_image(path.name) or path.name.endswith(ARCHIVES):
        raise UserError(f"{path} is no list: give the folder of the images or of *.tar shards, or a text of paths")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        if is_not_the_files(error):
            raise
        raise UserError(f"{path} cannot be read as a list of images: write a path in each line, in UTF-8") from None
    if not lines:
        raise UserError(f"{path} lists no image: write a path in each line")
    home = path.parent
    ways: list[Callable[[str], str]] = [
        str,
        _without_label,
        _with_slashes,
        lambda line: _with_slashes(_without_label(line)),
    ]
    way = next((way for way in ways if (home / way(lines[0])).is_file()), str)
    names = [posixpath.normpath(way(line)) for line in lines]
    for name in names[:: -(-len(names) // MAX_LOOKED_UP)]:
        if not (home / name).is_file():
            raise UserError(
                f"{path} lists {name!r}, which is not in {home}: write paths relative to the list, one a line"
            )
    if len(set(names)) < len(names):
        name, number = Counter(names).most_common(1)[0]
        raise UserError(f"{path} lists {name} {number} times: list each image once")
    return names


def _without_label(line: str) -> str:
    return re.sub(r"[\s,]+-?\d+$", "", line)


def _with_slashes(line: str) -> str:
    return line.replace("\\", "/")


def count_images(root: Path) -> int:
    """The number of training images below ``root``; of shards by their index, which is made where there is none.

    Raises:
        UserError: see :func:`find_train_folder`, :func:`images_by_class` and :class:`~twist_common.shards.TarShards`.
    """
    place = find_train_folder(root)
    shards = find_shards(place) if place.is_dir() else []
    return len(TarShards(shards, [place]).places) if shards else sum(map(len, images_by_class(place)[0]))
