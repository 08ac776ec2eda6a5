"""A user's own masks: found by convention or named, of ids or colours, with classes from a file or from the pixels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import run_module
from tests.own_masks import COLOURS, NUM_TEST, NUM_TRAIN, make_masks
from transfer import benchmarks
from transfer.doctor.check import examine
from transfer.doctor.own_data import completed
from transfer.layouts import OwnMasks
from transfer.rows import DenseDataset
from transfer.tasks.own_files import NOT_NAMED, NamedFiles
from transfer.tasks.segmentation.config import judged, protocol_of, resolve_config, schedule
from transfer.tasks.segmentation.masks import class_indices, mask_pairs
from transfer.tasks.segmentation.work import planned_work
from transfer.trial import TrialSettings, WeightsRef
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_masks(tmp_path / "leaves")


def found(root: Path, named: NamedFiles = NOT_NAMED) -> tuple[DenseDataset, OwnMasks]:
    row = completed(benchmarks.get("own-masks").dataset, root, named)
    assert isinstance(row, DenseDataset) and isinstance(row.layouts[0], OwnMasks)
    return row, row.layouts[0]


def settings(root: Path, name: str = "own-masks") -> TrialSettings:
    weights = WeightsRef(name="random", source="random:resnet50", sha256="0" * 64)
    benchmark = replace(benchmarks.get(name), dataset=found(root)[0])
    return TrialSettings(benchmark=benchmark, weights=weights, seed=0, data=root, overrides=(), device="cpu")


def repaint(path: Path, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> None:
    with Image.open(path) as image:
        mask = np.asarray(image)
    Image.fromarray(change(mask)).save(path)


def masks_of(root: Path) -> list[Path]:
    return sorted((root / "masks").rglob("*.png"))


def test_ids_are_classes_and_255_is_not_labelled(root: Path) -> None:
    for path in masks_of(root):
        repaint(path, lambda mask: np.where(mask == 2, np.uint8(7), np.where(mask == 1, np.uint8(255), mask)))
    row, layout = found(root)
    assert (layout.values, layout.class_names, layout.ignored) == ((0, 7), ("0", "7"), (255,))
    assert row.counts == {"train": NUM_TRAIN, "test": NUM_TEST}
    assert not examine(row, root).sentences()
    indices = class_indices(masks_of(root)[0], values=layout.values, ignored=layout.ignored)
    assert set(np.unique(indices)) == {0, 1, 255}


def test_masks_of_0_and_255_have_two_classes(root: Path) -> None:
    for path in masks_of(root):
        repaint(path, lambda mask: np.where(mask > 0, np.uint8(255), mask))
    row, layout = found(root)
    assert (layout.values, layout.ignored) == ((0, 255), ())
    assert "255 is taken as a class" in row.remarks[0]


def test_ids_of_16_bits_and_palettes_are_read_as_they_are(root: Path) -> None:
    for path in masks_of(root):
        repaint(path, lambda mask: mask.astype(np.uint16) * 500)
    assert found(root)[1].values == (0, 500, 1000)
    for path in masks_of(root):
        with Image.open(path) as image:
            indexed = Image.fromarray((np.asarray(image) // 500).astype(np.uint8), mode="P")
        indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
        indexed.save(path)
    assert found(root)[1].values == (0, 1, 2)


@pytest.mark.parametrize("form", ["{r} {g} {b}\t{name}", "{name},{r},{g},{b}", "{name}:{r},{g},{b}::"])
def test_colours_have_the_names_of_a_class_file(tmp_path: Path, form: str) -> None:
    root = make_masks(tmp_path / "leaves", is_coloured=True)
    names = ("ground", "128" if form.startswith("{r}") else "big square", "disc")
    lines = [form.format(r=r, g=g, b=b, name=name) for (r, g, b), name in zip(COLOURS.tolist(), names, strict=True)]
    (root / "classes.txt").write_text("\n".join(["name,r,g,b", *lines] if form.startswith("{name},") else lines))
    row, layout = found(root)
    assert layout.class_names == names
    assert not examine(row, root).sentences()
    indices = class_indices(masks_of(root)[0], values=layout.values, ignored=layout.ignored)
    assert set(np.unique(indices)) == {0, 1, 2}


def test_colours_without_a_class_file_are_called_by_their_codes(tmp_path: Path) -> None:
    root = make_masks(tmp_path / "leaves", is_coloured=True)
    (root / "classes.txt").unlink()
    assert found(root)[1].class_names == ("#000000", "#00c820", "#804000")
    assert found(root, NamedFiles(ignored="0,0,0"))[1].class_names == ("#00c820", "#804000")


def test_a_class_file_names_ids_and_a_stranger_among_them_is_a_fault(root: Path) -> None:
    (root / "names.txt").write_text("0 ground\n2 disc\n")
    row, _ = found(root, NamedFiles(classes=Path("names.txt")))
    (sentence,) = examine(row, root).sentences()
    assert "no class has 1" in sentence and "--classes-file" in sentence
    row, layout = found(root, NamedFiles(classes=Path("names.txt"), ignored="1"))
    assert (layout.class_names, layout.ignored) == (("ground", "disc"), (1, 255))
    assert not examine(row, root).sentences()


def move_to_split_folders(root: Path) -> NamedFiles:
    for split, folder in (("train", "training"), ("val", "validation")):
        (root / folder).mkdir()
        for kind, name in (("images", "img"), ("masks", "labels")):
            shutil.move(root / kind / split, root / folder / name)
    return NOT_NAMED


def move_to_lists(root: Path, line: str = "{name}") -> NamedFiles:
    for split in ("train", "val"):
        names = [f"{split}{path.stem}" for path in sorted((root / "images" / split).glob("*"))]
        (root / f"{split}.txt").write_text("\n".join(line.format(name=name) for name in names))
        for kind in ("images", "masks"):
            for path in (root / kind / split).glob("*"):
                path.rename(root / kind / f"{split}{path.name}")
    return NOT_NAMED


def move_to_pairs(root: Path) -> NamedFiles:
    move_to_lists(root, "images/{name}.png masks/{name}.png")
    for kind in ("images", "masks"):
        (root / kind).rename(root / f"my_{kind}")
    for split in ("train", "val"):
        path = root / f"{split}.txt"
        path.write_text(path.read_text().replace("images/", "my_images/").replace("masks/", "my_masks/"))
    return NamedFiles(train=Path("train.txt"), test=Path("val.txt"))


def add_endings(root: Path) -> NamedFiles:
    for path in masks_of(root):
        path.rename(path.with_stem(f"{path.stem}_mask"))
    return NOT_NAMED


@pytest.mark.parametrize("arrange", [move_to_split_folders, move_to_lists, move_to_pairs, add_endings])
def test_usual_layouts_are_found(root: Path, arrange: Callable[[Path], NamedFiles]) -> None:
    before = {path.read_bytes() for path in masks_of(root)}
    row, layout = found(root, arrange(root))
    assert (row.counts, layout.values) == ({"train": NUM_TRAIN, "test": NUM_TEST}, (0, 1, 2))
    assert {mask.read_bytes() for part in (layout.train, layout.test) for _, mask in mask_pairs(root, part)} == before
    assert not examine(row, root).sentences()


def no_masks(root: Path) -> NamedFiles:
    shutil.rmtree(root / "masks")
    return NOT_NAMED


def photographs(root: Path) -> NamedFiles:
    for path in masks_of(root):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(path)
    return NOT_NAMED


def two_names(root: Path) -> NamedFiles:
    (root / "classes.txt").write_text("a\na\nb")
    return NOT_NAMED


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_masks, "has neither images/ and masks/ with folders train or training"),
        (photographs, "classes: a segmentation has 2 to 250"),
        (two_names, "several classes of the name a"),
        (lambda root: NamedFiles(ignored="white"), "give an id, as 255, or a colour"),
        (lambda root: NamedFiles(ignored="300,0,0"), "channels are from 0 to 255"),
        (lambda root: NamedFiles(train=Path("none.txt")), "there is no file"),
    ],
)
def test_what_cannot_be_found_is_a_sentence(root: Path, damage: Callable[[Path], NamedFiles], message: str) -> None:
    named = damage(root)
    with pytest.raises(UserError, match=message):
        found(root, named)


def test_a_missing_mask_a_jpeg_and_an_image_in_both_splits_are_faults(root: Path) -> None:
    paths = masks_of(root)
    paths[0].unlink()
    with Image.open(paths[1]) as image:
        image.save(paths[1], format="JPEG")
    row, _ = found(root)
    sentences = " ".join(examine(row, root).sentences())
    assert "missing files or folders (1): masks/train/0.png" in sentences
    assert "masks/train/1.png (it is a JPEG" in sentences
    move_to_lists(root)
    lines = [(root / f"{split}.txt").read_text() for split in ("train", "val")]
    (root / "val.txt").write_text("\n".join([lines[1], lines[0].splitlines()[2]]))
    assert "test images among the training images (1)" in " ".join(examine(found(root)[0], root).sentences())


def test_content_changes_with_a_mask_and_with_what_is_said_of_it(root: Path, tmp_path: Path) -> None:
    before = found(root)[0].content
    assert found(Path(shutil.copytree(root, tmp_path / "elsewhere")))[0].content == before
    assert found(root, NamedFiles(ignored="2"))[0].content != before
    repaint(masks_of(root)[0], lambda mask: np.where(mask == 2, np.uint8(1), mask))
    assert found(root)[0].content != before


@pytest.mark.parametrize(
    ("name", "iterations"),
    [("own-masks", 2000), ("own-masks-frozen", 400), ("own-masks-any", 2000), ("own-masks-any-frozen", 400)],
)
def test_classes_and_schedule_follow_from_the_data_and_are_the_protocol(root: Path, name: str, iterations: int) -> None:
    protocol = protocol_of(settings(root, name))
    config, difference = resolve_config(protocol)
    assert (config.model.decode_head.num_classes, config.num_images) == (3, {"train": NUM_TRAIN, "test": NUM_TEST})
    warm_up = 150 if name == "own-masks-any" else 0
    assert (schedule(config).iterations, schedule(config).warmup_iterations) == (iterations, warm_up)
    assert schedule(config).milestones == (warm_up, iterations)
    assert judged(config, protocol, difference).standing == "on protocol"
    with pytest.raises(UserError, match="follows from the data"):
        resolve_config(protocol, ["own.content=x"])


@pytest.mark.parametrize(("name", "arch"), [("own-masks", None), ("own-masks-any", "vit_base")])
def test_a_plan_knows_what_training_costs(root: Path, name: str, arch: str | None) -> None:
    (training, testing) = planned_work(settings(root, name), arch).phases
    assert (training.num_steps, training.num_images, testing.num_images) == (2000, 32_000, NUM_TEST)
    assert training.cost is not None and testing.cost is not None


def test_test_images_among_the_training_images_are_counted(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "images/train/0.png", root / "images/val/0.png")
    checked = run_module("transfer.commands.check_data", "own-masks", "--data", root, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "1 of 3 test images have a near-duplicate among the training images (1 the same bytes)" in checked.stdout


def test_values_are_not_read_again_while_the_masks_stay_as_they_are(root: Path, tmp_path: Path) -> None:
    found(root)
    (cached, *_) = (tmp_path / "cache").rglob("mask-value-sets/*")
    assert json.loads(cached.read_text()) == [[0, 1, 2]]
    for path in (tmp_path / "cache").rglob("mask-value-sets/*"):
        path.write_text("[[0, 1]]")
    assert found(root)[1].values == (0, 1)
