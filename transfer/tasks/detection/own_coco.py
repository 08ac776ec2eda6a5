"""A user's own files of COCO's form: which are for training and for the test, and what they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from transfer.layouts import CocoBoxes, CocoFile
from transfer.tasks.detection.coco_files import image_path, read_coco, why_unreadable
from transfer.tasks.own_files import FoundData, NamedFiles, below, never_trained, refuse_twins
from twist_common.errors import UserError, is_not_the_files
from twist_common.images import files_below

# Words in the names of files, or of their folders, that say what they are for; the first that is found.
WORDS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
# Of COCO's own files: those of other tasks, or without annotations.
OTHERS = ("captions", "person_keypoints", "image_info", "panoptic", "stuff")


def find_coco(root: Path, named: NamedFiles) -> FoundData:
    """Finds a file for training and one for the test, with their images.

    A file is for training if its name or its folder's has the word "train", as ``annotations/instances_train2017.json``
    and Roboflow's ``train/_annotations.coco.json``; for the test if it has "test", or without such a file "val".
    The images' folder is the first of those that belong to the file by its name in which an image of the file is.

    Raises:
        UserError: no file is found, or several, or one cannot be read; no image is found.
    """
    home = root / "coco" if (root / "coco").is_dir() else root
    paths = {
        split: below(home, given, f"--{split}-file") if given else _by_convention(home, split)
        for split, given in (("train", named.train), ("test", named.test))
    }
    if paths["train"].resolve() == paths["test"].resolve():
        raise UserError(f"{paths['train']} is both the training and the test file: name two files")
    contents = {split: _read(path) for split, path in paths.items()}
    folders = {split: _images_of(home, path, contents[split]) for split, path in paths.items()}
    trained, only_tested = _class_names(contents)
    refuse_twins((*trained, *only_tested), root)
    masks = {
        split: [each.get("segmentation") for each in content["annotations"] if not each.get("iscrowd")]
        for split, content in contents.items()
    }
    without = sum(not mask for each in masks.values() for mask in each)
    has_masks = without == 0
    remarks = never_trained(only_tested)
    if not has_masks and any(mask for each in masks.values() for mask in each):
        remarks += (f"{without:,} objects have no mask, so that boxes alone are trained and scored",)
    layout = CocoBoxes(
        num_train=len(contents["train"]["images"]),
        num_test=len(contents["test"]["images"]),
        train=CocoFile(paths["train"].relative_to(home).as_posix(), folders["train"].relative_to(home).as_posix()),
        test=CocoFile(paths["test"].relative_to(home).as_posix(), folders["test"].relative_to(home).as_posix()),
        class_names=(*trained, *only_tested),
        has_masks=has_masks,
        has_run_lengths=any(isinstance(mask, dict) for mask in masks["train"]),
    )
    images = [
        image_path(folders[split], image["file_name"]) for split in contents for image in contents[split]["images"]
    ]
    return FoundData(layout, [*paths.values(), *images], remarks)


def _by_convention(home: Path, split: str) -> Path:
    """The file of a split by its name.

    Raises:
        UserError: there is none, or more than one.
    """
    candidates = [
        name
        for name in files_below(home)
        if name.lower().endswith(".json") and name.count("/") <= 1 and not Path(name).name.startswith(OTHERS)
    ]
    for word in WORDS[split]:
        found = [name for name in candidates if _has_word(name, word)]
        if len(found) == 1:
            return home / found[0]
        if found:
            raise UserError(f"{home} has several files for {split}, {', '.join(found)}: name one with --{split}-file")
    seen = f"; it has {', '.join(candidates[:5])}" if candidates else ""
    raise UserError(
        f"{home} has no COCO file with {' or '.join(WORDS[split])} in its name{seen}: name one with --{split}-file FILE"
    )


def _has_word(name: str, word: str) -> bool:
    """Whether the file's name has the word, or else its folder's; ``train2017`` and ``training`` have "train"."""
    path = Path(name.lower())
    words = [
        [each.removesuffix("ing") for each in re.findall("[a-z]+", part)] for part in (path.stem, path.parent.name)
    ]
    every = [each for pair in WORDS.values() for each in pair]
    said = next((part for part in words if any(each in part for each in every)), [])
    return word in said


def _read(path: Path) -> dict[str, Any]:
    try:
        content, _ = read_coco(path)
        if not content["images"] or not content["annotations"]:
            raise UserError(f"{path} has no images or no annotations: name a file that has both")
        names = [category["name"] for category in content["categories"]]
        ids = {category["id"] for category in content["categories"]}
        strays = [each["id"] for each in content["annotations"] if each["category_id"] not in ids]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if is_not_the_files(error):
            raise
        raise UserError(
            f"{path} is not of COCO's form ({why_unreadable(error)}): it needs images, annotations and "
            "categories as in instances_train2017.json"
        ) from None
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path} has several categories of the name {', '.join(repeated)}: merge or rename them")
    if strays:
        raise UserError(
            f"{path} has annotations of unknown categories ({len(strays):,}), the first {strays[0]}: fix them"
        )
    return content


def _class_names(contents: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The categories with an object, those of training in the order of their ids, and those that only the test has."""
    used: dict[str, list[str]] = {}
    for split, content in contents.items():
        labels = {each["category_id"] for each in content["annotations"]}
        in_order = sorted(content["categories"], key=lambda category: category["id"])
        used[split] = [category["name"] for category in in_order if category["id"] in labels]
    return used["train"], [name for name in used["test"] if name not in used["train"]]


def _images_of(home: Path, file: Path, content: Mapping[str, Any]) -> Path:
    """The folder of a file's images.

    Raises:
        UserError: none of the images is in any of the folders that they may be in.
    """
    split = re.sub(r"^(instances|annotations)[_-]|[_-](annotations|coco)$", "", file.stem)
    places = (home / split, home / "images" / split, file.parent, file.parent / "images", home / "images", home)
    folders = [folder for folder in dict.fromkeys(places) if folder.is_dir()]
    for image in content["images"]:
        for folder in folders:
            if image_path(folder, image["file_name"]).is_file():
                return folder
    first = content["images"][0]["file_name"]
    stem = PurePosixPath(first.replace("\\", "/")).stem.lower()
    near = next((path for folder in folders for path in folder.iterdir() if path.stem.lower() == stem), None)
    hint = f", where {near.relative_to(home)} is: correct file_name" if near else ": put the images into one of them"
    tried = ", ".join(f"{folder.relative_to(home)}/" for folder in dict.fromkeys(places))
    raise UserError(f"no image of {file} (the first is {first}) is in {tried} below {home}{hint}")
