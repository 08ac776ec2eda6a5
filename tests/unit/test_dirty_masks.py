"""Masks as programs leave them: with smoothed edges, in one bit, with other palettes, or two for one image."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.own_masks import make_masks
from transfer import datasets
from transfer.doctor.check import examine
from transfer.doctor.findings import Findings
from transfer.doctor.own_data import completed
from transfer.doctor.smoothed import Edges
from transfer.layouts import OwnMasks
from transfer.rows import DenseDataset
from transfer.tasks.own_files import NOT_NAMED, NamedFiles
from transfer.tasks.segmentation.masks import class_indices, mask_pairs
from twist_common.errors import UserError

Mask = np.ndarray[Any, Any]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_masks(tmp_path / "leaves")


def layout_of(root: Path, named: NamedFiles = NOT_NAMED) -> OwnMasks:
    row = completed(datasets.get("own-masks"), root, named)
    assert isinstance(row, DenseDataset) and isinstance(row.layouts[0], OwnMasks)
    return row.layouts[0]


def said(root: Path) -> str:
    try:
        return " ".join(examine(completed(datasets.get("own-masks"), root), root).sentences())
    except UserError as error:
        return str(error)


def scene(draw: np.random.Generator, num_classes: int, thin: int) -> Mask:
    """Areas, small objects and lines of one pixel, of any classes."""
    image = Image.new("L", (160, 120), int(draw.integers(num_classes)))
    pen = ImageDraw.Draw(image)
    for size, number in ((50, 12), (6, 20)):
        for _ in range(number):
            left, top, width, height = (int(each) for each in draw.integers((0, 0, 2, 2), (150, 110, size, size)))
            box = (left, top, left + width, top + height)
            (pen.ellipse if draw.random() < 0.5 else pen.rectangle)(box, fill=int(draw.integers(num_classes)))
    for _ in range(thin):
        pen.line([tuple(draw.integers(0, 120, 2)) for _ in range(3)], fill=int(draw.integers(num_classes)))
    return np.asarray(image)


def smoothed(mask: Mask, how: str) -> Mask:
    image = Image.fromarray(mask)
    if how.startswith("jpeg"):
        stored = io.BytesIO()
        image.save(stored, "JPEG", quality=int(how.removeprefix("jpeg")))
        return np.asarray(Image.open(stored))
    factor, filter_name = how.split()
    size = round(160 * float(factor)), round(120 * float(factor))
    return np.asarray(image.resize(size, Image.Resampling[filter_name]))


def finds(masks: list[Mask]) -> bool:
    edges, findings = Edges(), Findings(Path("/"))
    for number, mask in enumerate(masks):
        edges.look_at(Path(f"/{number}.png"), mask)
    edges.report("train", findings)
    return bool(findings.kinds())


@pytest.mark.parametrize("num_classes", [5, 19, 150])
def test_smoothed_edges_are_found_and_thin_classes_are_none(num_classes: int) -> None:
    draw = np.random.default_rng(num_classes)
    masks = [scene(draw, num_classes, thin=number) for number in range(12)]
    assert not finds(masks)
    assert not finds([smoothed(mask, "0.5 NEAREST") for mask in masks])
    for how in ("2 BILINEAR", "0.5 BILINEAR", "0.7 BILINEAR", "1.5 BICUBIC", "0.6 LANCZOS", "jpeg75"):
        assert finds([smoothed(mask, how) for mask in masks]), how
        assert num_classes == 5 or finds([*masks[1:], smoothed(masks[0], how)]), f"one {how}"


def test_masks_of_two_classes_that_a_jpeg_held_are_found() -> None:
    draw = np.random.default_rng(0)
    masks = [np.where(scene(draw, 9, thin=0) > 4, np.uint8(255), np.uint8(0)) for _ in range(12)]
    assert not finds(masks)
    assert finds([smoothed(mask, "jpeg95") for mask in masks])


def test_borders_noise_and_points_are_classes() -> None:
    draw = np.random.default_rng(0)
    border = Image.new("L", (64, 64))
    ImageDraw.Draw(border).ellipse((8, 8, 50, 50), fill=2, outline=1)
    noise = np.where(draw.random((120, 160)) < 0.1, draw.integers(0, 20, (120, 160)), scene(draw, 20, thin=0))
    points = np.full((64, 64), 255, dtype=np.uint8)
    points[draw.integers(0, 64, 40), draw.integers(0, 64, 40)] = draw.integers(0, 30, 40)
    assert not any(finds([np.asarray(mask)] * 3) for mask in (border, noise, points))


def each_mask(change: Callable[[Mask], Image.Image], *, first: int = 0) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        for path in sorted((root / "masks").rglob("*.png"))[first:]:
            with Image.open(path) as image:
                mask = np.asarray(image)
            change(mask).save(path)

    return edit


def blurred(mask: Mask) -> Image.Image:
    image = Image.fromarray(np.where(mask > 0, np.uint8(255), np.uint8(0)))
    return image.resize((32, 24)).resize((64, 48), Image.Resampling.BILINEAR)


def white(mask: Mask) -> Image.Image:
    return Image.fromarray(np.where(mask > 0, np.uint8(255), np.uint8(0)))


def one_bit_after_white(root: Path) -> None:
    each_mask(white)(root)
    each_mask(lambda mask: Image.fromarray(mask > 0), first=9)(root)


def grey_levels(root: Path) -> None:
    each_mask(lambda mask: Image.fromarray(np.array([0, 127, 255], dtype=np.uint8)[mask]))(root)


def other_palettes(root: Path) -> None:
    def coloured(order: list[int]) -> Callable[[Mask], Image.Image]:
        def change(mask: Mask) -> Image.Image:
            image = Image.fromarray(np.argsort(order).astype(np.uint8)[mask % 3], mode="P")
            image.putpalette([channel for place in order for channel in ((0, 0, 0), (200, 0, 0), (0, 200, 0))[place]])
            return image

        return change

    each_mask(coloured([0, 1, 2]))(root)
    assert said(root) == ""
    each_mask(coloured([1, 0, 2]), first=14)(root)


def two_masks(root: Path) -> None:
    Image.new("L", (64, 48)).save(root / "masks/train/3.tif")


def numbered_objects(root: Path) -> None:
    for number, path in enumerate(sorted((root / "masks").rglob("*.png"))):
        mask = np.zeros((48, 64), dtype=np.uint8)
        for each in range(1, 2 + number % 5):
            mask[4:9, 9 * each : 9 * each + 6] = each
        Image.fromarray(mask).save(path)


def two_endings(root: Path) -> None:
    for path in (root / "masks").rglob("*.png"):
        shutil.copy(path, path.with_stem(f"{path.stem}_color"))
        path.rename(path.with_stem(f"{path.stem}_mask"))


def coloured(train: list[list[int]], test: list[list[int]]) -> Callable[[Path], None]:
    """Masks of colours; those of the first image of training keep the first list's, all of the test the second's."""

    def edit(root: Path) -> None:
        for path in sorted((root / "masks").rglob("*.png")):
            with Image.open(path) as image:
                mask = np.asarray(image)
            Image.fromarray(np.array(test if path.parent.name == "val" else train, dtype=np.uint8)[mask]).save(path)

    return edit


def listed(line: str) -> Callable[[Path], None]:
    """Lists in the place of the folders of the splits."""

    def edit(root: Path) -> None:
        for split in ("train", "val"):
            names = []
            for path in sorted((root / "images" / split).iterdir()):
                names.append(f"{split}{path.name}")
                for kind in ("images", "masks"):
                    (root / kind / split / path.name).rename(root / kind / names[-1])
            for kind in ("images", "masks"):
                (root / kind / split).rmdir()
            (root / f"{split}.txt").write_text("\n".join(line.format(name=name, root=root) for name in names))

    return edit


@pytest.mark.parametrize(
    "line",
    [
        "/images/{name} /masks/{name}",
        r"images\{name} masks\{name}",
        "{root}/images/{name} {root}/masks/{name}",
        "images/{name}",
        r"images\{name}",
    ],
)
def test_lists_name_files_as_other_programs_write_them(line: str, root: Path) -> None:
    before = layout_of(root)
    listed(line)(root)
    after = layout_of(root)
    assert (after.num_train, after.num_test, after.values) == (before.num_train, before.num_test, before.values)
    assert said(root) == ""


def utf16_list(root: Path) -> None:
    listed("{name}")(root)
    (root / "train.txt").write_bytes((root / "train.txt").read_text().encode("utf-16"))


def paths_of_another_machine(root: Path) -> None:
    listed("{name}")(root)
    names = (root / "train.txt").read_text().split()
    (root / "train.txt").write_text("\n".join(f"/home/me/{name}" for name in names))


def half_mask(root: Path) -> None:
    (root / "masks/train/1.png").write_bytes(b"")


GROUND, SQUARE, DISC, REVERSED = [0, 0, 0], [200, 60, 0], [0, 200, 0], [0, 60, 200]


def test_colours_that_are_channels_or_numbers_are_classes(root: Path, tmp_path: Path) -> None:
    for place, colours in enumerate(([[0, 0, 255], DISC, [255, 0, 0]], [[1, 0, 0], [2, 0, 0], [3, 0, 0]])):
        other = make_masks(tmp_path / f"other{place}")
        coloured(colours, colours)(other)
        assert said(other) == ""
    coloured([GROUND, SQUARE, DISC], [GROUND, SQUARE, DISC])(root)
    assert said(root) == ""


def two_folders(root: Path) -> None:
    shutil.copytree(root / "masks", root / "labels")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (utf16_list, r"train\.txt is no text: give a list of images, one per line, in UTF-8"),
        (paths_of_another_machine, r"missing files .*/home/me/train0\.png.*; add them, or correct the names"),
        (half_mask, r"images that cannot be read \(1\): masks/train/1\.png \(it is empty\); save them again"),
        (
            coloured([GROUND, SQUARE, DISC], [GROUND, REVERSED, DISC]),
            r"#003cc8 and #c83c00 .* by the order of red and blue",
        ),
        (coloured([GROUND, SQUARE, DISC], [GROUND, [200, 61, 1], DISC]), r"#c83c00 and #c83d01 .* hardly differ"),
        (two_endings, r"masks/train has 0_color and 0_mask for 0.png, of which only one can be its mask"),
        (two_folders, r"for train, images/train with masks/train, images/train with labels/train: keep one"),
        (numbered_objects, r"number objects instead.*train, each of which has the ids from 1 .* up to 5"),
        (each_mask(blurred), r"masks whose edges were smoothed.*masks/train/0\.png.*nearest neighbours"),
        (one_bit_after_white, r"some masks of .* hold 0 and 1 alone and some 0 and 255"),
        (grey_levels, r"the masks hold 0, 127, 255 .* say --ignore-value 255 if"),
        (other_palettes, r"one colour at several indices.*masks/val/2\.png.*save all with one palette"),
        (two_masks, r"masks/train has 3\.png and 3\.tif, of which only one can be meant"),
    ],
)
def test_what_masks_may_mean_in_several_ways_is_refused(edit: Callable[[Path], None], says: str, root: Path) -> None:
    edit(root)
    assert re.search(says, said(root)), said(root)


def test_what_the_user_says_of_255_counts(root: Path, tmp_path: Path) -> None:
    grey_levels(root)
    assert layout_of(root, NamedFiles(ignored="255")).values == (0, 127)
    assert layout_of(root, NamedFiles(ignored="127")).values == (0, 255)
    one_bit_after_white(mixed := make_masks(tmp_path / "mixed"))
    assert layout_of(mixed, NamedFiles(ignored="255")).values == (0, 1)
    (root / "classes.txt").write_text("0 ground\n127 square\n255 disc\n")
    layout = layout_of(root)
    (_, mask), *_ = mask_pairs(root, layout.train)
    assert np.unique(class_indices(mask, values=layout.values, ignored=layout.ignored)).tolist() == [0, 1, 2]


def test_a_list_that_names_a_file_with_its_suffix_means_that_file(root: Path) -> None:
    two_masks(root)
    (root / "train.txt").write_text("images/train/3.png masks/train/3.tif\nimages/train/4.png masks/train/4.png\n")
    layout = layout_of(root, NamedFiles(train=Path("train.txt")))
    assert [mask.name for _, mask in mask_pairs(root, layout.train)] == ["3.tif", "4.png"]
