"""A clustering trial: every test image to a cluster, the clusters scored against the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.record import Metric
from transfer.tasks.classification.protocol import load_protocol, resolved
from transfer.tasks.clustering.protocol import ClusterProtocol
from transfer.trial import Outcome, Trial

if TYPE_CHECKING:
    from transfer.tasks.classification.labelled import Splits
    from transfer.tasks.clustering.clusterer import Clusterer
    from transfer.weights.backbone import Backbone


def run(trial: Trial) -> Outcome:
    """Makes the clusterer without the test set, then opens that once, for the scoring.

    A checkpoint's head gives the same figures for every seed: nothing in it is drawn. The seed draws a random
    initialisation with its head, the starts of k-means and the images that it is fitted to, the images of a sampled
    silhouette, and those that are drawn in the picture.

    Raises:
        UserError: a bad checkpoint, override or data folder.
    """
    from transfer.tasks.classification.datasets import splits_of
    from transfer.tasks.clustering.pictures import draw_pictures
    from transfer.tasks.clustering.scoring import one_cluster, score

    protocol, difference = resolve_config(trial)
    splits = splits_of(trial)
    clusterer, backbone = _clusterer(trial, protocol, splits)
    test = splits.test.open()
    assigned = clusterer.assign(test)
    scores = score(
        test.labels,
        assigned,
        num_labels=len(test.classes),
        num_clusters=clusterer.num_clusters,
        silhouette_images=protocol.silhouette_images,
        seed=trial.seed,
        progress=trial.progress,
    )
    pictures = draw_pictures(trial, test, assigned, scores.matching, clusterer.score_name, protocol.top3_images)
    return Outcome(
        metrics={name: Metric(value=value) for name, value in scores.percent.items()},
        references={"one cluster": one_cluster(test.labels)},
        test_scorings=splits.test.scorings,
        choices={"clusters_from": clusterer.clusters_from, **scores.facts, **clusterer.facts},
        pictures=pictures,
        resolved_config=resolved(trial.benchmark, protocol),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )


def resolve_config(trial: Trial) -> tuple[ClusterProtocol, list[str]]:
    """The protocol with the trial's overrides, and what they change."""
    return load_protocol(trial.benchmark, trial.overrides)


def _clusterer(trial: Trial, protocol: ClusterProtocol, splits: Splits) -> tuple[Clusterer, Backbone]:
    """The trial's clusterer, from its weights and the training split alone."""
    from transfer.tasks.classification.loader import CenterCrop, center_crop
    from transfer.tasks.clustering.clusterer import Source, make_clusterer
    from transfer.tasks.clustering.forward import Reader
    from transfer.weights.of_trial import torch_backbone

    module, backbone = torch_backbone(trial)
    transform = center_crop(CenterCrop(resize=protocol.resize, crop=protocol.crop), backbone.preprocessing)
    source = Source(
        module=module,
        backbone=backbone,
        is_random=trial.weights.is_random,
        train=splits.train,
        reader=Reader(transform=transform, batch_size=protocol.batch_size, device=trial.device),
        protocol=protocol,
        seed=trial.seed,
        progress=trial.progress,
    )
    return make_clusterer(source), backbone
