"""Clustering scores against scikit-learn and against matching by trying every permutation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn import metrics

from transfer.outcomes.cluster_scores import cluster_scores, matched_accuracy


def best_permutation_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """The slow, obvious way: every one-to-one map from the smaller set of names into the larger."""
    label_names, cluster_names = sorted(set(labels.tolist())), sorted(set(predictions.tolist()))
    swapped = len(cluster_names) > len(label_names)
    small, large = (label_names, cluster_names) if swapped else (cluster_names, label_names)
    best = 0.0
    for chosen in itertools.permutations(large, len(small)):
        mapping = dict(zip(small, chosen, strict=True))
        hits = [
            (mapping[label] == cluster) if swapped else (mapping[cluster] == label)
            for label, cluster in zip(labels.tolist(), predictions.tolist(), strict=True)
        ]
        best = max(best, float(np.mean(hits)))
    return best


@pytest.mark.parametrize(("num_labels", "num_clusters"), [(4, 4), (3, 6), (6, 3), (5, 1), (1, 5), (1, 1)])
def test_accuracy_equals_best_permutation_also_for_unequal_counts(num_labels: int, num_clusters: int) -> None:
    rng = np.random.default_rng(num_labels * 10 + num_clusters)
    for _ in range(5):
        labels = rng.integers(0, num_labels, 60)
        predictions = rng.integers(0, num_clusters, 60)
        assert matched_accuracy(labels, predictions) == pytest.approx(best_permutation_accuracy(labels, predictions))


def test_greedy_matching_would_be_worse_than_ours() -> None:
    # cluster 0 overlaps most with label 0, but giving it to label 1 leaves label 0 for cluster 1
    labels = np.repeat([0, 0, 1], [6, 5, 5])
    predictions = np.repeat([0, 1, 0], [6, 5, 5])
    assert matched_accuracy(labels, predictions) == pytest.approx(best_permutation_accuracy(labels, predictions))
    assert matched_accuracy(labels, predictions) == pytest.approx(10 / 16)
    greedy = 6 / 16  # label 0 takes cluster 0; label 1 and cluster 1 share nothing
    assert matched_accuracy(labels, predictions) > greedy


def test_nmi_ami_ari_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 500)
    predictions = np.where(rng.random(500) < 0.6, labels, rng.integers(0, 64, 500))
    scores = cluster_scores(labels, predictions)
    assert list(scores) == ["nmi", "ami", "ami_max", "ari", "acc"]
    assert scores["nmi"] == metrics.normalized_mutual_info_score(labels, predictions)
    for name, method in (("ami", "arithmetic"), ("ami_max", "max")):
        assert scores[name] == metrics.adjusted_mutual_info_score(labels, predictions, average_method=method)
    assert scores["ami_max"] < scores["ami"] - 0.01  # 64 clusters have more entropy than ten labels
    assert scores["ari"] == metrics.adjusted_rand_score(labels, predictions)
    assert 0.2 < scores["ari"] < scores["nmi"] < 1.0


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        ([0, 0, 1, 1], [0, 1, 0, 1]),  # every matching is as good
        ([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0]),
        ([0, 1, 2, 3], [0, 0, 1, 1]),
        ([0, 0, 1, 1], [3, 2, 1, 0]),
    ],
)
def test_ties_do_not_change_the_accuracy(labels: list[int], predictions: list[int]) -> None:
    expected = best_permutation_accuracy(np.array(labels), np.array(predictions))
    assert matched_accuracy(labels, predictions) == expected
    assert matched_accuracy(labels[::-1], predictions[::-1]) == expected
    assert matched_accuracy(predictions, labels) == expected


@pytest.mark.parametrize(("num_labels", "num_clusters"), [(10, 10), (10, 64), (64, 10), (10, 1), (1, 10), (1, 1)])
def test_scores_are_scikit_learns_for_unequal_counts(num_labels: int, num_clusters: int) -> None:
    rng = np.random.default_rng(num_clusters)
    labels, predictions = rng.integers(0, num_labels, 400), rng.integers(0, num_clusters, 400)
    scores = cluster_scores(labels, predictions)
    assert scores["nmi"] == metrics.normalized_mutual_info_score(labels, predictions)
    for name, method in (("ami", "arithmetic"), ("ami_max", "max")):
        assert scores[name] == metrics.adjusted_mutual_info_score(labels, predictions, average_method=method)
    assert scores["ari"] == metrics.adjusted_rand_score(labels, predictions)


def test_names_of_clusters_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    labels, predictions = rng.integers(0, 6, 200), rng.integers(0, 9, 200)
    renamed_labels = np.array([7, -3, 10**9, 0, 55, 4])[labels]
    renamed_predictions = (rng.permutation(9) * 1000 - 500)[predictions]
    assert cluster_scores(renamed_labels, renamed_predictions) == pytest.approx(cluster_scores(labels, predictions))


def test_perfect_clusters_score_one_under_other_names() -> None:
    labels = [0, 0, 1, 1, 2, 2]
    assert cluster_scores(labels, [9, 9, -1, -1, 4, 4]) == pytest.approx(
        {"nmi": 1, "ami": 1, "ami_max": 1, "ari": 1, "acc": 1}
    )


@pytest.mark.parametrize(
    ("labels", "predictions"), [([], []), ([1, 2], [1]), ([[1], [2]], [1, 2]), ([0.5, 1.0], [1, 2])]
)
def test_malformed_input_is_refused(labels: list, predictions: list) -> None:
    with pytest.raises(ValueError, match=r"integers|equally many"):
        cluster_scores(labels, predictions)
