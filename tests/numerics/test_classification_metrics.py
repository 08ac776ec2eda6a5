"""Top-k, mean per class and VOC2007's average precision against hand-computed values and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, precision_recall_curve, top_k_accuracy_score

from transfer.tasks.classification.scoring import (
    average_precision_11pt,
    figures,
    map_11pt,
    mean_per_class,
    topk_accuracy,
)


def test_topk_counts_a_label_among_the_k_best() -> None:
    scores = np.array([[0.1, 0.5, 0.4], [0.9, 0.05, 0.05], [0.2, 0.3, 0.5]])
    labels = np.array([2, 0, 0])
    assert [topk_accuracy(scores, labels, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_topk_of_equal_scores_takes_the_first_classes() -> None:
    scores, labels = np.zeros((4, 4)), np.arange(4)
    assert [topk_accuracy(scores, labels, k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]
    assert topk_accuracy(scores, np.full(4, 3), 3) == 0.0


@pytest.mark.parametrize("k", [1, 2, 5])
def test_topk_equals_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(k)
    scores, labels = rng.normal(size=(300, 7)), rng.integers(7, size=300)
    assert topk_accuracy(scores, labels, k) == pytest.approx(
        top_k_accuracy_score(labels, scores, k=k, labels=np.arange(7))
    )


def test_mean_per_class_weighs_classes_alike_and_leaves_absent_ones_out() -> None:
    labels = np.array([0, 0, 0, 0, 1, 3])
    predictions = np.array([0, 0, 0, 1, 1, 2])  # 3 of 4, 1 of 1, 0 of 1
    scores = np.eye(5)[predictions]
    assert mean_per_class(scores, labels) == pytest.approx((0.75 + 1 + 0) / 3)
    assert mean_per_class(scores, labels) == pytest.approx(balanced_accuracy_score(labels, predictions))
    assert topk_accuracy(scores, labels, 1) == pytest.approx(4 / 6)


def test_average_precision_of_a_hand_computed_ranking() -> None:
    """Present, absent, present, absent, present: precision 1 to recall 1/3, 2/3 to 2/3, 3/5 to 1."""
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 0, 1, 0, 1])
    # Recalls 0 to 0.3 are 4 of the 11 points, 0.4 to 0.6 are 3, 0.7 to 1 are 4.
    assert average_precision_11pt(scores, labels) == pytest.approx((4 * 1 + 3 * 2 / 3 + 4 * 3 / 5) / 11)


def test_difficult_images_count_neither_for_nor_against() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 0, 1, 0, 1])
    with_difficult = np.append(scores, [1.0, 0.75, 0.1]), np.append(labels, [-1, -1, -1])
    assert average_precision_11pt(*with_difficult) == average_precision_11pt(scores, labels)


def test_a_recall_that_is_exactly_a_tenth_is_reached() -> None:
    """3 of 10 found: in floating point 3 / 10 < 3 * 0.1, so that the point 0.3 would be missed."""
    labels = np.array([1] * 3 + [0] * 7 + [1] * 7)
    scores = -np.arange(17.0)
    assert average_precision_11pt(scores, labels) == pytest.approx((4 * 1 + 7 * 10 / 17) / 11)


def test_images_of_one_score_come_in_together_whatever_their_order() -> None:
    labels = np.array([1, 0, 0, 1])
    assert average_precision_11pt(np.ones(4), labels) == pytest.approx(0.5)  # all or nothing: precision 2 / 4
    scores = np.array([2.0, 1.0, 1.0, 1.0])
    for order in ([0, 1, 2, 3], [0, 3, 2, 1]):
        # Half of the recall at precision 1, the rest at 2 / 4.
        assert average_precision_11pt(scores[order], labels[order]) == pytest.approx((6 * 1 + 5 * 0.5) / 11)


@pytest.mark.parametrize("num_scores", [5, 10**6])
def test_average_precision_is_that_of_scikit_learns_curve(num_scores: int) -> None:
    """Few scores mean many ties."""
    rng = np.random.default_rng(num_scores)
    for num_images in (7, 40, 301):
        labels = np.append(rng.random(num_images) < 0.3, True).astype(np.int64)
        scores = rng.integers(num_scores, size=len(labels)) + labels * num_scores / 4
        precision, recall, _ = precision_recall_curve(labels, scores)
        # Its last point, precision 1 at recall 0, belongs to no threshold; 1e-9 undoes the rounding of recalls.
        expected = [precision[:-1][recall[:-1] >= t / 10 - 1e-9].max() for t in range(11)]
        assert average_precision_11pt(scores, labels) == pytest.approx(np.mean(expected))


def test_map_averages_the_classes_that_occur() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 1, 0]])
    scores = np.array([[3.0, 1, 0], [1, 3, 0], [9, 2, 0], [2, 0, 0]])
    first = 1.0
    second = (6 * 1 + 5 * 2 / 4) / 11
    assert map_11pt(scores, labels) == pytest.approx((first + second) / 2)
    assert np.isnan(average_precision_11pt(scores[:, 2], labels[:, 2]))


def test_figures_are_in_percent_with_the_main_metric_and_top1_top5_where_there_are_more_classes() -> None:
    scores, labels = np.eye(6), np.arange(6)
    assert figures(scores, labels, "mean_per_class") == {"mean_per_class": 100, "top1": 100, "top5": 100}
    assert set(figures(np.eye(4), np.arange(4), "top1")) == {"top1"}
    assert figures(scores, np.eye(6, dtype=np.int8), "map11") == {"map11": 100}


def test_scores_that_are_not_numbers_are_an_error_and_not_a_figure() -> None:
    """A comparison with NaN is false, so that no score would come before the label's."""
    with pytest.raises(FloatingPointError):
        figures(np.full((2, 3), np.nan), np.zeros(2, dtype=np.int64), "top1")
