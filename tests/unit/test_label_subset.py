"""Lists of labelled images, and even draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer.tasks.classification.datasets.labelled import LabelledImages, even_rows
from transfer.tasks.classification.label_list import listed, read_list
from twist_common.errors import UserError


def folder(names: list[str], labels: list[int]) -> LabelledImages:
    """Images in class folders that nobody reads."""
    classes = tuple(f"n{label}" for label in sorted(set(labels)))
    return LabelledImages(
        name="train",
        classes=classes,
        labels=np.array(labels),
        read=lambda row: Image.new("RGB", (1, 1)),
        names=names,
    )


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "1percent.txt"
        path.write_text(text)
        return path

    return write


TRAIN = folder(["a_1.JPEG", "a_2.JPEG", "b_1.JPEG", "b_2.JPEG"], [0, 0, 1, 1])


def test_a_list_picks_its_images_in_its_order_with_their_labels(listing: Callable[[str], Path]) -> None:
    path = listing("b_2.JPEG\nn0/a_1.JPEG\n\n")
    subset = listed(TRAIN, read_list(path), path)
    assert subset.labels.tolist() == [1, 0]
    assert subset.names == ["b_2.JPEG", "a_1.JPEG"]


def test_a_name_matches_whatever_its_suffix_was_made(listing: Callable[[str], Path]) -> None:
    path = listing("a_1.JPEG\nb_1.jpg\n")
    assert listed(TRAIN, read_list(path), path).labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no image.*simclr"),
        ("a_1.JPEG\nno image here\n", "line 2.*'no image here'"),
        ("a_1.JPEG\na_1.JPEG\n", r"line 2.*a_1\.JPEG again.*line 1"),
        ("a_1.JPEG\nb_1.JPEG\nc_1.JPEG\n", r"1 of the 3 images.*c_1\.JPEG"),
        ("a_1.JPEG\na_2.JPEG\n", "no image of the class n1"),
    ],
)
def test_a_bad_list_is_refused_with_the_line_or_the_image(text: str, said: str, listing: Callable[[str], Path]) -> None:
    path = listing(text)
    with pytest.raises(UserError, match=said):
        listed(TRAIN, read_list(path), path)


def test_a_list_that_is_not_there_or_is_no_text_is_refused_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="google-research/simclr"):
        read_list(tmp_path / "nothing.txt")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match="--labels"):
        read_list(tmp_path / "image.png")


def test_two_images_of_one_name_make_a_list_ambiguous(listing: Callable[[str], Path]) -> None:
    path = listing("1.png\n")
    with pytest.raises(UserError, match="called 1"):
        listed(folder(["1.png", "1.png"], [0, 1]), read_list(path), path)


def test_an_even_draw_has_the_fraction_of_every_class_and_depends_on_the_seed_alone() -> None:
    labels = np.array([0] * 200 + [1] * 100 + [2] * 3)
    rows = even_rows(labels, 0.05, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [10, 5, 1]  # at least one
    assert len(set(rows.tolist())) == 16
    assert (rows == even_rows(labels, 0.05, np.random.default_rng(0))).all()
    assert set(rows) != set(even_rows(labels, 0.05, np.random.default_rng(1)))
    for fraction in (0, 1.5):
        with pytest.raises(UserError, match="labels_fraction"):
            even_rows(labels, fraction, np.random.default_rng(0))


def test_the_hash_of_the_labelled_images_tells_other_images_and_another_order() -> None:
    hashes = {TRAIN.subset(np.array(rows)).names_sha256() for rows in ([0, 2], [2, 0], [1, 2])}
    assert len(hashes) == 3
    assert TRAIN.subset(np.array([0, 2])).names_sha256() in hashes
