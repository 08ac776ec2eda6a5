"""A clustering trial: every test image to a cluster, the clusters scored against the labels."""

from __future__ import annotations

from transfer.outcomes.clusters import Clusters
from transfer.outcomes.file import packed
from transfer.record import Metric
from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets import splits_of
from transfer.tasks.classification.protocol import load_protocol, resolved
from transfer.tasks.clustering.clusterer import make_clusterer
from transfer.tasks.clustering.metrics import one_cluster, score
from transfer.tasks.clustering.pictures import draw_pictures
from transfer.trial import Outcome, Trial


def run(trial: Trial) -> Outcome:
    """Makes the clusterer without the test set, then opens that once, for the scoring.

    A checkpoint's head gives the same figures for every seed: nothing in it is drawn. The seed draws a random
    initialisation with its head, the starts of k-means and the images that it is fitted to, the images of a sampled
    silhouette, and those shown in the picture.

    Raises:
        UserError: a bad checkpoint, override or data folder.
    """
    protocol, difference = load_protocol(trial.benchmark, trial.overrides)
    splits = splits_of(trial)
    clusterer, backbone = make_clusterer(trial, protocol, splits.train)
    test = splits.test.open()
    assigned = clusterer.assign(test)
    scores = score(
        test.labels,
        assigned,
        num_labels=len(test.classes),
        num_clusters=clusterer.num_clusters,
        silhouette_images=protocol.silhouette_images,
        rng=rng(trial.seed, Stream.SILHOUETTE_IMAGES),
        progress=trial.progress,
    )
    pictures = draw_pictures(trial, test, assigned, scores.matching, clusterer.score_name, protocol.top3_images)
    return Outcome(
        metrics={name: Metric(value=value) for name, value in scores.percent.items()},
        references={"one cluster": one_cluster(test.labels)},
        test_scorings=splits.test.scorings,
        outcomes=packed(Clusters(test.labels, assigned.ranked[:, 0], scores.in_top5)),
        choices={"clusters_from": clusterer.clusters_from, **scores.facts, **clusterer.facts},
        pictures=pictures,
        resolved_config=resolved(trial.benchmark, protocol),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )
