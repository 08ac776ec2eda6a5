"""The matching of clusters with labels, top-k through it, and the silhouette: against slow, obvious ways."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples, silhouette_score

from tools.bench import matching as bench
from transfer.tasks.clustering.matching import UNMATCHED, contingency_table, is_among_first, match
from transfer.tasks.clustering.silhouette import silhouette


def test_contingency_counts_every_pair() -> None:
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 5, 300), rng.integers(0, 8, 300)
    expected = [[np.sum((labels == label) & (clusters == cluster)) for cluster in range(9)] for label in range(6)]
    assert contingency_table(labels, clusters, 6, 9).tolist() == expected  # a label and a cluster without images, too


def test_clusters_left_over_stand_for_no_class() -> None:
    matching = match(np.array([[5, 0, 4, 0], [0, 3, 0, 0]]))
    assert matching.label_of.tolist() == [0, 1, UNMATCHED, UNMATCHED]
    assert (matching.num_right, matching.num_matched) == (8, 2)
    assert [matching.main_label(cluster) for cluster in range(4)] == [0, 1, 0, UNMATCHED]
    assert matching.sizes.tolist() == [5, 3, 4, 0]


def test_a_pair_without_a_common_image_is_no_match() -> None:
    matching = match(np.array([[4, 2, 0], [3, 0, 0], [0, 0, 0]]))  # labels 0 and 1, clusters 0 and 1, the rest is empty
    assert matching.label_of.tolist() == [1, 0, UNMATCHED]
    assert matching.num_right == 5


# three classes, four clusters: 0 -> a, 1 -> b, 2 is left over (a, and less so b), 3 -> c
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 0, 1])
RANKED = np.array(
    [
        [0, 1, 2, 3],  # a: right at once
        [0, 2, 1, 3],
        [0, 3, 1, 2],
        [1, 0, 2, 3],  # b: right at once
        [1, 3, 0, 2],
        [0, 1, 2, 3],  # b: the second
        [3, 2, 0, 1],  # c: right at once
        [1, 2, 3, 0],  # c: the third
        [2, 3, 1, 0],  # a: the fourth, since the cluster left over takes the first place
        [2, 1, 0, 3],  # b: the second
    ]
)


@pytest.mark.parametrize(("k", "num_found"), [(1, 6), (2, 8), (3, 9), (4, 10), (5, 10)])
def test_topk_is_the_hand_computed_one_with_a_cluster_left_over(k: int, num_found: int) -> None:
    matching = match(contingency_table(LABELS, RANKED[:, 0], 3, 4))
    assert matching.label_of.tolist() == [0, 1, UNMATCHED, 2]
    assert is_among_first(LABELS, RANKED, matching, k).mean() == num_found / 10


def test_with_fewer_clusters_a_label_without_one_is_never_found() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    ranked = np.array([[0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [0, 1]])
    matching = match(contingency_table(labels, ranked[:, 0], 3, 2))
    assert matching.label_of.tolist() == [0, 1]
    assert is_among_first(labels, ranked, matching, 1).mean() == 4 / 6
    assert is_among_first(labels, ranked, matching, 5).mean() == 5 / 6  # all but the image of label 2


def test_top1_is_the_accuracy_after_matching() -> None:
    rng = np.random.default_rng(1)
    labels, ranked = rng.integers(0, 7, 200), rng.permuted(np.tile(np.arange(11), (200, 1)), axis=1)
    matching = match(contingency_table(labels, ranked[:, 0], 7, 11))
    assert is_among_first(labels, ranked, matching, 1).mean() == matching.num_right / 200


def blobs(num_clusters: int, num_images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, num_clusters, num_images)
    features = rng.normal(size=(num_clusters, 6))[clusters] + 0.7 * rng.normal(size=(num_images, 6))
    return features.astype(np.float32), clusters


def test_silhouette_of_all_images_is_scikit_learns() -> None:
    features, clusters = blobs(5, 200)
    clusters[17] = 99  # alone in its cluster
    found = silhouette(features, clusters, max_images=200, rng=np.random.default_rng(0))
    assert found.mean == pytest.approx(silhouette_score(features, clusters), abs=1e-6)
    assert (found.num_images, found.standard_error) == (200, 0.0)


def test_sampled_silhouette_takes_exact_values_of_a_sample() -> None:
    features, clusters = blobs(40, 600)
    exact = silhouette_samples(features, clusters)
    rows = np.random.default_rng(3).choice(600, size=150, replace=False)
    found = silhouette(features, clusters, max_images=150, rng=np.random.default_rng(3))
    assert found.num_images == 150
    assert found.mean == pytest.approx(exact[rows].mean(), abs=1e-6)
    assert found.standard_error == pytest.approx(exact[rows].std(ddof=1) * np.sqrt((1 - 150 / 600) / 150), abs=1e-6)


def test_sampled_silhouette_is_unbiased_where_distances_within_the_sample_are_not() -> None:
    features, clusters = blobs(60, 600)
    exact = silhouette_score(features, clusters)
    ours = [silhouette(features, clusters, max_images=120, rng=np.random.default_rng(seed)) for seed in range(30)]
    usual = [silhouette_score(features, clusters, sample_size=120, random_state=seed) for seed in range(30)]
    error = np.mean([found.standard_error for found in ours]) / np.sqrt(30)
    assert abs(np.mean([found.mean for found in ours]) - exact) < 4 * error
    assert abs(np.mean(usual) - exact) > 4 * error


def test_silhouette_without_a_next_cluster_or_with_images_alone_is_0() -> None:
    (features, _), rng = blobs(3, 20), np.random.default_rng(0)
    assert silhouette(features, np.zeros(20, dtype=int), max_images=20, rng=rng).mean == 0
    assert silhouette(features, np.arange(20), max_images=20, rng=rng).mean == 0
    assert silhouette(np.zeros((20, 4)), np.arange(20) % 2, max_images=20, rng=rng).mean == 0  # all images equal


def test_the_benchmark_s_double_loop_is_the_same_table() -> None:
    labels, clusters = bench.generate(400, 12, seed=0)
    assert (bench.double_loop(labels, clusters, 12) == contingency_table(labels, clusters, 12, 12)).all()
