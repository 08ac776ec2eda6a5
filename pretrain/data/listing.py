"""Which images there are to train on; imports no torch."""

from __future__ import annotations

from pathlib import Path

from twist_common.errors import UserError
from twist_common.images import class_folders, images_below, is_hidden, is_image
from twist_common.shards import TarShards, find_shards


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


def images_by_class(place: Path) -> list[list[str]]:
    """The images of each class, below ``place``; one class where they are not sorted into any.

    Sorted are those of ``place/<class>/**``. Where ``place`` has images of its own, beside folders or not, or is a list
    of paths (relative to where it lies), all are unlabelled.

    Raises:
        UserError: there is no image, or none in one of several class folders; a list cannot be read or names no image.
    """
    if place.is_file():
        return [_listed(place)]
    classes = class_folders(place)
    if any(is_image(path.name) and not is_hidden(path.name) for path in place.iterdir()):
        return [images_below(place)]
    images = [[f"{name}/{image}" for image in images_below(place / name)] for name in classes]
    if empty := [place / name for name, names in zip(classes, images, strict=True) if not names]:
        more = f", nor do {len(empty) - 1} other class folders" if len(empty) > 1 else ""
        raise UserError(f"{empty[0]} holds no image{more}: remove the folder or fill it")
    if not images:
        raise UserError(
            f"{place} holds no images: the layout is {place}/<class>/<image>, {place}/<image>, or shards *.tar"
        )
    return images


def _listed(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} cannot be read as a list of images: write a path in each line") from None
    if missing := [name for name in names[:1] if not (path.parent / name).is_file()]:
        raise UserError(f"{path} lists {missing[0]}, which is not in {path.parent}: write paths relative to the list")
    if not names:
        raise UserError(f"{path} lists no image: write a path in each line")
    return names


def count_images(root: Path) -> int:
    """The number of training images below ``root``; of shards by their index, which is made where there is none.

    Raises:
        UserError: see :func:`find_train_folder`, :func:`images_by_class` and :class:`~twist_common.shards.TarShards`.
    """
    place = find_train_folder(root)
    shards = find_shards(place) if place.is_dir() else []
    return len(TarShards(shards, [place]).places) if shards else sum(map(len, images_by_class(place)))
