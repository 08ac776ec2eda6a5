"""Outcomes of test images: the file, the figures that follow from it, and what is refused."""

from __future__ import annotations

import contextlib
import io
import pickle

import numpy as np
import pytest

from transfer.outcomes.cluster_scores import cluster_scores
from transfer.outcomes.clusters import Clusters
from transfer.outcomes.depths import Depths
from transfer.outcomes.file import not_following, packed, read_outcomes
from transfer.outcomes.kind import Outcomes
from transfer.outcomes.labels import Hits, Ranks
from transfer.outcomes.objects import Detections, Matches
from transfer.outcomes.pixels import Confusion
from transfer.tasks.classification.scoring import figures, outcomes
from twist_common.errors import UserError

RNG = np.random.default_rng(0)
SCORES = RNG.integers(0, 9, (60, 7)).astype(np.float32)  # with many equal ones
LABELS = RNG.integers(0, 7, 60)
SEVERAL = RNG.integers(-1, 2, (60, 7)).astype(np.int8)


def matches() -> Matches:
    """Three classes over six images: one without detections, one whose detections include ignored ones."""

    def detections(count: int) -> Detections:
        right = np.sort(RNG.random((10, count)) < 0.4, axis=0)[::-1]
        ignored = ~right & (RNG.random((10, count)) < 0.2)
        return Detections(RNG.integers(0, 6, count), {"box": (right, ignored), "mask": (right[::-1], ignored)})

    objects = RNG.integers(1, 9, (6, 3))
    return Matches("coco", objects, [detections(9), detections(0), detections(5)])


def confusion() -> Confusion:
    labelled = RNG.integers(0, 4, (6, 5)) * RNG.integers(0, 200, (6, 5))
    labelled[:, 3] = 0
    right = labelled // 2
    return Confusion.of_areas(right, right + RNG.integers(0, 2, (6, 5)) * 9, labelled)


KINDS: dict[str, Outcomes] = {
    "hits": Hits(LABELS, {"top1": LABELS > 2, "top5": LABELS > 0}, per_class=True),
    "ranks": Ranks.of_scores(SCORES, SEVERAL),
    "clusters": Clusters(LABELS, (LABELS + RNG.integers(0, 2, 60)) % 9, LABELS > 1),
    "confusion": confusion(),
    "matches": matches(),
    "depths": Depths(RNG.random((6, 3)) * 90, np.array([9, 0, 4, 200, 5, 1]), RNG.integers(1, 9_000, 6)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_back_its_outcomes(kind: str) -> None:
    content = packed(KINDS[kind])
    found = read_outcomes(content, "here")
    assert type(found) is type(KINDS[kind])
    assert packed(found) == content
    assert found.metrics() == KINDS[kind].metrics()
    assert found.truth() == KINDS[kind].truth()
    assert found.num_images == KINDS[kind].num_images


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_count_twice_are_images_twice(kind: str) -> None:
    """Whole weights: twice all images gives the metrics; where order or chance plays no part, to the last digits."""
    found = KINDS[kind]
    twice = np.full((2, found.num_images), 2.0)
    for metric in found.resamplable:
        once = found.resampled(metric, twice / 2)
        assert found.resampled(metric, twice) == pytest.approx(once, rel=1e-12)


@pytest.mark.parametrize("main", ["top1", "mean_per_class"])
def test_figures_of_classification_follow(main: str) -> None:
    assert read_outcomes(outcomes(SCORES, LABELS, main), "here").metrics() == figures(SCORES, LABELS, main)


def test_average_precision_of_several_classes_follows() -> None:
    found = read_outcomes(outcomes(SCORES, SEVERAL, "map11"), "here").metrics()
    assert found == pytest.approx(figures(SCORES, SEVERAL, "map11"), rel=1e-12)


def test_weights_are_numbers_of_copies() -> None:
    """A draw of images is scored as scikit-learn and the task's own code score the drawn images."""
    drawn = RNG.integers(0, 60, 60)
    weights = np.bincount(drawn, minlength=60)[None].astype(float)
    several = Ranks.of_scores(SCORES, SEVERAL).resampled("map11", weights)
    assert several == pytest.approx(figures(SCORES[drawn], SEVERAL[drawn], "map11")["map11"], rel=1e-12)
    single = read_outcomes(outcomes(SCORES, LABELS, "mean_per_class"), "here")
    expected = figures(SCORES[drawn], LABELS[drawn], "mean_per_class")
    for metric, value in expected.items():
        assert single.resampled(metric, weights) == pytest.approx(value, rel=1e-12)


def test_normalised_mutual_information_is_drawn_by_what_each_image_adds_to_it() -> None:
    """Equal to the jackknife written out: scikit-learn's NMI without one image after the other."""
    found = KINDS["clusters"]
    assert isinstance(found, Clusters)

    def nmi(rows: np.ndarray) -> float:
        return cluster_scores(found.labels[rows], found.clusters[rows])["nmi"]

    rows = np.arange(60)
    without = np.array([nmi(np.delete(rows, row)) for row in rows])
    weights = RNG.multinomial(60, np.full(60, 1 / 60), 3).astype(float)
    expected = nmi(rows) + weights @ (59 * (without.mean() - without)) / 60
    assert found.resampled("nmi", weights) == pytest.approx(100 * expected, rel=1e-9)
    one_group = Clusters(np.zeros(4, dtype=int), np.zeros(4, dtype=int), np.ones(4, dtype=bool))
    assert one_group.resampled("nmi", np.array([[1.0, 2.0, 0.0, 1.0]])) == 100.0


def test_what_does_not_follow_is_named() -> None:
    found = KINDS["hits"]
    metrics = {**found.metrics(), "other": 1.0}
    assert not_following(metrics, found) == []
    metrics["top1"] += 0.5
    (line,) = not_following(metrics, found)
    assert line.startswith("top1 is ")


def test_what_changes_no_figure_is_left_out() -> None:
    for found in (matches() for _ in range(20)):
        needed = Matches(found.form, found.objects, [each.needed() for each in found.classes])
        weights = RNG.integers(0, 4, (5, 6)).astype(float)
        weights[:, 0] = 1
        for metric in found.resamplable:
            assert needed.resampled(metric, weights) == pytest.approx(found.resampled(metric, weights), rel=1e-12)


def saved(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


class Dangerous:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('run from a file')",)


FACTS = np.frombuffer(b'{"kind": "hits", "names": ["top1"], "per_class": false}', dtype=np.uint8)
BYTES = np.array([[1, 2]], dtype=np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        packed(KINDS["hits"])[:-40],
        pickle.dumps(1),
        saved(facts=FACTS),
        saved(facts=FACTS, labels=BYTES[0], hits=np.array([Dangerous()], dtype=object)),
        saved(facts=FACTS, labels=BYTES[0], hits=np.repeat(BYTES, 2)),
        saved(facts=FACTS, labels=BYTES[0] - np.float32(0.5), hits=BYTES),
        saved(facts=FACTS, labels=np.zeros(0, np.uint8), hits=np.zeros((1, 0), np.uint8)),
        saved(facts=FACTS[:-1], labels=BYTES[0], hits=BYTES[:, :1]),
        saved(facts=np.frombuffer(b'{"kind": "other"}', dtype=np.uint8)),
        saved(**{f"array{number}": BYTES for number in range(20)}),
        saved(facts=np.zeros(300 << 20, dtype=np.uint8)),
    ],
)
def test_what_no_trial_wrote_is_one_sentence(content: bytes) -> None:
    with pytest.raises(UserError, match=r"^here does not hold the outcomes of a trial \(.+\): fetch it again"):
        read_outcomes(content, "here")


@pytest.mark.parametrize("kind", KINDS)
def test_no_damaged_byte_is_a_traceback(kind: str) -> None:
    content = bytearray(packed(KINDS[kind]))
    for place in range(0, len(content), 7):
        damaged = bytes(content[:place]) + bytes([content[place] ^ 0xFF]) + bytes(content[place + 1 :])
        with contextlib.suppress(UserError):
            read_outcomes(damaged, "here").metrics()


def test_ignored_detections_are_left_out_of_every_draw() -> None:
    rng = np.random.default_rng(0)
    images, right = rng.integers(0, 9, 60), rng.random((10, 60)) < 0.4
    ignored = ~right & (rng.random((10, 60)) < 0.3)
    objects = np.full((9, 1), 5)
    weights = rng.integers(0, 4, (7, 9)).astype(float)
    outcomes = Matches("voc2012", objects, [Detections(images, {"box": (right, ignored)})])
    expected = []
    for draw in weights:
        counted, hits = draw[images] * ~ignored[0], draw[images] * right[0]
        precision = np.cumsum(hits) / np.maximum(np.cumsum(counted), 1)
        highest = np.array([precision[place:].max() for place in range(60)])
        expected.append(100 * (highest * hits).sum() / (5 * draw.sum()))
    assert outcomes.resampled("box_ap50", weights) == pytest.approx(expected, rel=1e-12)
