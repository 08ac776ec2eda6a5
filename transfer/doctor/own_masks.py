"""A user's own images and masks: where they are, and which classes the masks have."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product
from pathlib import Path

from transfer.doctor.files import BROKEN
from transfer.doctor.stamp import remembered
from transfer.layouts import MaskFolders, OwnMasks
from transfer.tasks.own_files import FoundData, NamedFiles, below, never_trained
from transfer.tasks.segmentation.masks import COLOUR, IGNORED, distinct, mask_pairs, pixels, written
from twist_common.errors import UserError
from twist_common.images import files_below, images_below

# Names of folders, the first that is found, in lower case.
IMAGES = ("images", "image", "imgs", "img", "img_dir", "jpegimages")
MASKS = ("masks", "mask", "annotations", "ann_dir", "labels", "gt", "segmentationclass")
SPLITS = {"train": ("train", "training"), "test": ("test", "val", "valid", "validation")}
LISTS = ("", "ImageSets/Segmentation/")
CLASS_FILES = ("classes.txt", "labels.txt", "class_names.txt", "label_colors.txt", "labelmap.txt", "class_dict.csv")
MAX_CLASSES = 250
NEAR, BRIGHT = 3, 64  # of 255: below it colours may be numbers, one after the other
COLOUR_TEXT = r"(?P<red>\d{1,3})[\s,]+(?P<green>\d{1,3})[\s,]+(?P<blue>\d{1,3})"
COLOUR_FIRST = re.compile(rf"{COLOUR_TEXT}[\s,]+(?P<name>.+)")  # CamVid: 64 128 64 Animal
COLOUR_LAST = re.compile(rf"(?P<name>.+?)[\s,:]+{COLOUR_TEXT}:*")  # CVAT: cat:64,0,0::
ID_FIRST = re.compile(r"(?P<id>\d+)[\s,:]+(?P<name>\D.*)")


def find_masks(root: Path, named: NamedFiles) -> FoundData:
    """Finds images and masks of both splits, and the classes: those of a file, or the values that pixels have.

    Raises:
        UserError: folders, lists or classes are not found or cannot be read, or masks are no masks of classes.
    """
    parts = {"train": _part(root, "train", named.train), "test": _part(root, "test", named.test)}
    if parts["train"] == parts["test"]:
        raise UserError(f"{parts['train'].names} is both the training and the test list: name two lists")
    pairs = {split: _pairs(root, split, part) for split, part in parts.items()}
    sets = {split: _value_sets([mask for _, mask in each]) for split, each in pairs.items()}
    used = {split: {value for each in found for value in each} for split, found in sets.items()}
    values = sorted(set.union(*used.values()))
    if not values:
        first = pairs["train"][0][1]
        raise UserError(f"no mask of {root} can be read, the first is {first}{_why(first)}: give each image a mask")
    if values[0] < COLOUR <= values[-1]:
        raise UserError(
            f"some masks of {root} hold ids ({written(values[0])} and others) and some colours ({written(values[-1])} "
            "and others): save all of them in one way"
        )
    _check_whites(root, [each for found in sets.values() for each in found], named.ignored)
    path = _class_file(root, named.classes)
    listed = _read_classes(path) if path else None
    ignored = _ignored(named.ignored, values, listed or {})
    classes = listed or {value: written(value) for value in values if value not in ignored}
    if not 1 < len(classes) <= MAX_CLASSES:
        raise UserError(
            f"the masks of {root} have {len(classes)} classes: a segmentation has 2 to {MAX_CLASSES}, of which masks "
            "hold the ids or colours, which no resizing with interpolation and no JPEG keeps"
        )
    if not listed:
        _check_colours(root, used["train"], used["test"])
    only_tested = [classes[value] for value in used["test"] if value in classes and value not in used["train"]]
    remarks = never_trained(only_tested)
    if IGNORED in classes and not listed:
        remarks += ("255 is taken as a class, since masks hold nothing else but 0",)
    layout = OwnMasks(
        num_train=len(pairs["train"]),
        num_test=len(pairs["test"]),
        train=parts["train"],
        test=parts["test"],
        class_names=tuple(classes.values()),
        values=tuple(classes),
        ignored=ignored,
    )
    lists = [root / part.names for part in parts.values() if part.names] + ([path] if path else [])
    return FoundData(layout, [*lists, *(file for each in pairs.values() for pair in each for file in pair)], remarks)


def _part(root: Path, split: str, named: Path | None) -> MaskFolders:
    """Where the images and masks of a split are.

    Raises:
        UserError: nowhere, or in several places.
    """
    folders = {path.name.lower(): path.name for path in sorted(root.iterdir()) if path.is_dir()}
    images = next((folders[name] for name in IMAGES if name in folders), "")
    every = [folders[name] for name in MASKS if name in folders]
    masks = every[0] if every else ""
    if named:
        file = below(root, named, f"--{split}-file")
        return _with_ending(root, MaskFolders(images, masks, file.relative_to(root).as_posix()))
    for word in SPLITS[split]:
        places = [(f"{images}/{word}", f"{each}/{word}") for each in every] if images else []
        places += [(f"{word}/{ours}", f"{word}/{theirs}") for ours, theirs in product(IMAGES, MASKS)]
        places += [(word, f"{word}{end}") for end in ("_masks", "_labels", "annot")]
        there = [place for place in places if images_below(root / place[0]) and (root / place[1]).is_dir()]
        filled = [place for place in there if images_below(root / place[1])]
        if len(filled) > 1:
            several = ", ".join(f"{ours} with {theirs}" for ours, theirs in filled)
            raise UserError(f"{root} has several folders of images and masks for {split}, {several}: keep one of them")
        if there:
            return _with_ending(root, MaskFolders(*(filled or there)[0]))
        for folder in LISTS:
            if images and masks and (root / f"{folder}{word}.txt").is_file():
                return _with_ending(root, MaskFolders(images, masks, f"{folder}{word}.txt"))
    word = " or ".join(SPLITS[split][:2])
    raise UserError(
        f"{root} has neither images/ and masks/ with folders {word}, nor {word} with images/ and masks/, nor a list "
        f"{word}.txt beside images/ and masks/: lay the data out so, or name a list with --{split}-file FILE"
    )


def _with_ending(root: Path, part: MaskFolders) -> MaskFolders:
    """With what the first image's mask has after the image's name, as in ``1_mask.png``."""
    pairs = mask_pairs(root, part)
    if not pairs or pairs[0][1].is_file():
        return part
    image, mask = pairs[0]
    images = {each.stem for each, _ in pairs}
    stems = [Path(name).stem for name in files_below(mask.parent)]
    endings = [stem.removeprefix(image.stem) for stem in stems if stem.startswith(image.stem)]
    # 1_mask.png is of 1.png, 10_mask.png is not; without any the check of the data names what is missing
    found = {each for each in endings if each and not each[0].isalnum() and image.stem + each not in images}
    kinds = sorted(each for each in found if not any(each != other and each.endswith(other) for other in found))
    if len(kinds) > 1:
        raise UserError(
            f"{mask.parent} has {' and '.join(image.stem + each for each in kinds[:3])} for {image.name}, of which "
            "only one can be its mask: keep one kind there"
        )
    return MaskFolders(part.images, part.masks, part.names, kinds[0] if kinds else "")


def _pairs(root: Path, split: str, part: MaskFolders) -> list[tuple[Path, Path]]:
    pairs = mask_pairs(root, part)
    if not pairs:
        raise UserError(f"{root / part.names} names no image for {split}: add some")
    return pairs


def _value_sets(masks: Sequence[Path]) -> list[list[int]]:
    """What pixels of these masks hold, but for those that cannot be read, which the check of the data names.

    Of masks of two values alone, each of the sets that occur; of all others their union.
    """

    def of_one(mask: Path) -> list[int]:
        try:
            return distinct(pixels(mask))
        except BROKEN:
            return []

    def of_all() -> str:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:  # decoding releases Python's lock
            found = {tuple(values) for values in threads.map(of_one, masks)}
        of_two = {values for values in found if len(values) <= 2}
        others = {value for values in found - of_two for value in values}
        return json.dumps([*sorted(of_two), sorted(others)])

    sets: list[list[int]] = json.loads(remembered("mask-value-sets", masks, of_all))
    return sets


def _check_whites(root: Path, sets: Sequence[Sequence[int]], ignored: str | None) -> None:
    """Refuses masks of 0 and 1 beside masks of 0 and 255: a PNG of one bit says 1 where one of eight says 255."""
    values = {value for each in sets for value in each}
    is_mixed = values == {0, 1, IGNORED} and [0, IGNORED] in sets and not any({1, IGNORED} <= {*each} for each in sets)
    if is_mixed and ignored is None:
        raise UserError(
            f"some masks of {root} hold 0 and 1 alone and some 0 and 255: if they mean the same, save all of them with "
            "0 and 1; if 255 is not labelled, say --ignore-value 255"
        )


def _check_colours(root: Path, trained: set[int], tested: set[int]) -> None:
    """Refuses colours that hardly differ, and those of the test that training has with red and blue exchanged (BGR)."""
    colours = [value for value in trained | tested if value >= COLOUR]
    channels = {value: (value >> 16 & 255, value >> 8 & 255, value & 255) for value in colours}
    bright = {value: each for value, each in channels.items() if max(each) >= BRIGHT and len({*each}) > 1}
    for (value, colour), (other, another) in combinations(sorted(bright.items()), 2):
        if max(abs(ours - theirs) for ours, theirs in zip(colour, another, strict=True)) <= NEAR:
            how = "hardly differ"
        elif (
            colour == another[::-1]
            and {value, other} & trained
            and {value, other} & tested
            and not ({value, other} & trained & tested)
        ):
            how = "differ by the order of red and blue"
        else:
            continue
        raise UserError(
            f"the colours {written(value)} and {written(other)} of the masks of {root} {how}: save all masks alike, or "
            "name the classes with --classes-file if both are meant"
        )


def _why(mask: Path) -> str:
    """What keeps a mask from being read, in brackets, where that can be said."""
    try:
        pixels(mask)
    except ValueError as error:
        return f" ({error})"
    except BROKEN:
        pass
    return ""


def _class_file(root: Path, named: Path | None) -> Path | None:
    if named:
        return below(root, named, "--classes-file")
    return next((root / name for name in CLASS_FILES if (root / name).is_file()), None)


def _read_classes(path: Path) -> dict[int, str]:
    """The names of the classes by their values: a colour or an id beside each name, or names alone, from id 0 on.

    Raises:
        UserError: lines of several forms, or a value or a name occurs twice.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text: give the names of the classes, one per line") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    coloured = [COLOUR_FIRST.fullmatch(line) or COLOUR_LAST.fullmatch(line) for line in lines]
    if any(coloured):  # a table may begin with a heading
        found = [(_colour(each["red"], each["green"], each["blue"]), each["name"]) for each in coloured if each]
        lines = [line for line, each in zip(lines, coloured, strict=True) if not each][1 if not coloured[0] else 0 :]
        if lines:
            raise UserError(f"{path}: {lines[0]!r} has no colour, as other classes have: write R G B NAME")
    else:
        numbered = [ID_FIRST.fullmatch(line) for line in lines]
        found = [
            (int(each["id"]) if each and all(numbered) else place, each["name"] if each and all(numbered) else line)
            for place, (line, each) in enumerate(zip(lines, numbered, strict=True))
        ]
    for what, items in (("value", [written(value) for value, _ in found]), ("name", [name for _, name in found])):
        if repeated := sorted({item for item in items if items.count(item) > 1}):
            raise UserError(f"{path} has several classes of the {what} {', '.join(repeated)}: give each its own")
    return dict(found)


def _colour(*channels: str) -> int:
    red, green, blue = map(int, channels)
    if max(red, green, blue) > 255:
        raise UserError(f"{','.join(channels)} is no colour: channels are from 0 to 255")
    return COLOUR + (red << 16) + (green << 8) + blue


def _ignored(given: str | None, values: Sequence[int], classes: Mapping[int, str]) -> tuple[int, ...]:
    """The values of pixels that are not labelled: what the user says, and 255 among ids unless it is a class.

    Raises:
        UserError: the user names neither an id nor a colour, or a class.
    """
    ignored = []
    if given is not None:
        numbers = re.fullmatch(r"\d+|\d+,\d+,\d+", given)
        if not numbers:
            raise UserError(f"--ignore-value {given}: give an id, as 255, or a colour, as 224,224,192")
        channels = given.split(",")
        ignored.append(int(given) if len(channels) == 1 else _colour(*channels))
        if ignored[0] in classes:
            raise UserError(f"--ignore-value {given} is the class {classes[ignored[0]]}: leave it out of the list")
    if IGNORED in classes or IGNORED in ignored or not (classes or set(values) - set(ignored) - {0, IGNORED}):
        return tuple(ignored)
    steps = len(values) - 1
    if (
        not classes
        and steps > 1
        and all(abs(value - place * IGNORED / steps) < 1 for place, value in enumerate(values))
    ):
        raise UserError(
            f"the masks hold {', '.join(map(str, values[:3]))} and more up to 255, as levels of grey: say "
            "--ignore-value 255 if 255 is not labelled, else name the classes with --classes-file"
        )
    return (*ignored, IGNORED)
