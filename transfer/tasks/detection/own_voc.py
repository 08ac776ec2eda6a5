"""A user's own data in VOC's layout, of any classes."""

from __future__ import annotations

import os
from pathlib import Path

from transfer.layouts import VocBoxes, VocList
from transfer.tasks.detection.splits import OWN_YEAR
from transfer.tasks.detection.voc_files import image_of, read_annotation, read_names
from transfer.tasks.own_files import FoundData, NamedFiles, below, never_trained, refuse_twins
from twist_common.errors import UserError, is_not_the_files
from twist_common.images import images_below

LISTS = "ImageSets/Main"


def find_voc(root: Path, named: NamedFiles) -> FoundData:
    """Finds the folder with ``Annotations`` and ``JPEGImages``, its lists, and the classes of all objects.

    Training is on ``trainval`` and the test on ``test``; without a list ``test``, on ``train`` and ``val``.

    Raises:
        UserError: there is no such folder, or several; lists or annotations are missing or cannot be read; a name may
            mean two images.
    """
    home = _home(root)
    by_convention = ("trainval", "test") if (home / LISTS / "test.txt").is_file() else ("train", "val")
    lists = []
    for split, given, usual in zip(("train", "test"), (named.train, named.test), by_convention, strict=True):
        path = below(root, given, f"--{split}-file") if given else home / LISTS / f"{usual}.txt"
        if not path.is_file() or path.suffix != ".txt":
            raise UserError(f"{root} has no list {path} (*.txt): name one with --{split}-file FILE")
        lists.append(path)
    if lists[0].resolve() == lists[1].resolve():
        raise UserError(f"{lists[0]} is both the training and the test list: name two lists")
    files: list[Path] = list(lists)
    images = _images_by_name(home / "JPEGImages")
    counts, classes = [], []
    for path in lists:
        try:
            names = read_names(path, home / "JPEGImages")
        except UnicodeDecodeError:
            raise UserError(f"{path} is no text: give a list of images, one per line, in UTF-8") from None
        annotations = [home / f"Annotations/{name}.xml" for name in names]
        if not any(annotation.is_file() for annotation in annotations):
            what = f"no file {annotations[0]}" if annotations else "no name in it"
            raise UserError(
                f"{path} names no annotated image ({what}): list names without folder and suffix, one per line"
            )
        for name in names:
            if len(found := images.get(name, [])) > 1:
                raise UserError(f"{name} of {path} may be {' or '.join(found)} in {home / 'JPEGImages'}: keep one")
        files += [*annotations, *(image_of(home / "JPEGImages", name) for name in names)]
        counts.append(len(names))
        classes.append({each for annotation in annotations for each in _classes(annotation)})
    if not classes[0]:
        raise UserError(f"the images of {lists[0]} have no object in {home / 'Annotations'}: annotate some")
    refuse_twins(classes[0] | classes[1], root)
    folder = home.relative_to(root).as_posix()
    train, test = (
        VocList(OWN_YEAR, os.path.relpath(path, home / LISTS).removesuffix(".txt"), folder) for path in lists
    )
    layout = VocBoxes(
        num_train=counts[0],
        num_test=counts[1],
        class_names=tuple(sorted(classes[0] | classes[1])),
        train=(train,),
        test=(test,),
    )
    return FoundData(layout, files, never_trained(sorted(classes[1] - classes[0])))


def _home(root: Path) -> Path:
    """The folder that holds ``Annotations``: the data's own, or the one year of a devkit."""
    found = [
        place
        for place in (root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*")))
        if (place / "Annotations").is_dir() and (place / "JPEGImages").is_dir()
    ]
    if not found:
        raise UserError(f"neither {root} nor a folder VOC* in it has Annotations/ and JPEGImages/: lay the data out so")
    if len(found) > 1:
        raise UserError(f"{root} has several years, {', '.join(map(str, found))}: give one with --data")
    return found[0]


def _images_by_name(folder: Path) -> dict[str, list[str]]:
    images: dict[str, list[str]] = {}
    for image in images_below(folder):
        images.setdefault(image.rpartition(".")[0], []).append(image)
    return images


def _classes(path: Path) -> set[str]:
    try:
        return {each.name for each in read_annotation(path).objects}
    except OSError as error:
        if is_not_the_files(error):
            raise
        return set()  # the check of the data names what is missing
    except ValueError as error:
        raise UserError(f"{path}: {error}: fix it") from None
