"""The two ways from images to clusters. Both are ready, having seen training images only, before the test is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pretrain.model import Backbone as BackboneModule
from transfer.streams import Stream, rng, torch_seed
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.loader import CenterCrop, center_crop
from transfer.tasks.clustering.kmeans import fit_kmeans, nearest, normalise_
from transfer.tasks.clustering.network import (
    Reader,
    estimate_statistics,
    features_of,
    head_outputs,
    load_head,
    random_head,
)
from transfer.tasks.clustering.protocol import ClusterProtocol
from transfer.trial import Trial
from transfer.weights.backbone import Backbone
from transfer.weights.of_trial import torch_backbone
from twist_common.errors import UserError

CLASS_HEAD = "class head"
KMEANS = "k-means on frozen features"
NUM_RANKED = 5  # what top5 and the picture of the three most likely classes need


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """Clusters of N images.

    Attributes:
        features: (N, D), each of length one.
        ranked: (N, k) clusters, the most likely first; k is 5, or C where there are fewer.
        scores: (N, k) how likely, from 0 to 1 and falling.
    """

    features: NDArray[np.float32]
    ranked: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Clusterer:
    """Assigns a cluster to every image.

    Attributes:
        clusters_from: in words, e.g. :data:`CLASS_HEAD`.
        num_clusters: C, of which some may stay empty.
        score_name: what :attr:`Assigned.scores` are, in words.
        assign: images to their clusters.
        facts: for the record's ``choices``.
    """

    clusters_from: str
    num_clusters: int
    score_name: str
    assign: Callable[[LabelledImages], Assigned]
    facts: dict[str, Any] = field(default_factory=dict)


def make_clusterer(trial: Trial, protocol: ClusterProtocol, train: LabelledImages) -> tuple[Clusterer, Backbone]:
    """By the class head or by k-means, as the protocol says for these weights; and where the weights came from.

    Raises:
        UserError: a bad checkpoint or class head, an image that cannot be read, or fewer images than clusters.
    """
    module, backbone = torch_backbone(trial)
    middle = CenterCrop(resize=protocol.resize, crop=protocol.crop, interpolation=protocol.interpolation)
    view = center_crop(middle, backbone.preprocessing)
    reader = Reader(view=view, batch_size=protocol.batch_size, device=trial.device, precision=protocol.precision)
    has_head = backbone.head is not None or trial.weights.is_random
    if protocol.clusters_from == "kmeans" or not has_head:
        return _by_kmeans(trial, protocol, train, module, reader), backbone
    return _by_head(trial, protocol, train, module, backbone, reader), backbone


def _by_head(
    trial: Trial,
    protocol: ClusterProtocol,
    train: LabelledImages,
    module: BackboneModule,
    backbone: Backbone,
    reader: Reader,
) -> Clusterer:
    if trial.weights.is_random:
        hidden, num_clusters = protocol.random_head_hidden, protocol.random_head_classes
        head = random_head(module.num_features, hidden, num_clusters, torch_seed(trial.seed, Stream.CLASS_HEAD))
        _estimate_statistics(trial, protocol, train, nn.Sequential(module, head), reader)
    else:
        head = load_head(backbone)
        assert backbone.head_config is not None
        num_clusters = backbone.head_config["num_classes"]
    k = min(NUM_RANKED, num_clusters)

    def assign(images: LabelledImages) -> Assigned:
        outputs = head_outputs(module, head, images, reader, _done(trial, images, "test images"), k=k)
        features = normalise_(outputs.features)
        return Assigned(features=features, ranked=outputs.ranked, scores=outputs.probabilities)

    return Clusterer(clusters_from=CLASS_HEAD, num_clusters=num_clusters, score_name="probability", assign=assign)


def _by_kmeans(
    trial: Trial, protocol: ClusterProtocol, train: LabelledImages, module: BackboneModule, reader: Reader
) -> Clusterer:
    if trial.weights.is_random:
        _estimate_statistics(trial, protocol, train, module, reader)
    num_clusters = protocol.kmeans_clusters or len(train.classes)
    fitted_on = _drawn(train, protocol.kmeans_images, trial.seed, Stream.KMEANS_IMAGES)
    if len(fitted_on) < num_clusters:
        raise UserError(
            f"k-means with {num_clusters} clusters on {len(fitted_on)} images of {train.name}: "
            "raise kmeans_images or lower kmeans_clusters"
        )

    def normalised(images: LabelledImages, what: str) -> NDArray[np.float32]:
        return normalise_(features_of(module, images, reader, _done(trial, images, what)))

    features = normalised(fitted_on, "training images")
    trial.progress(0, 1, "k-means")
    fitted = fit_kmeans(
        features,
        num_clusters,
        restarts=protocol.kmeans_restarts,
        seed=int(rng(trial.seed, Stream.KMEANS_STARTS).integers(2**32)),
        minibatch_above=protocol.kmeans_minibatch_above,
    )
    trial.progress(1, 1, "k-means")

    def assign(images: LabelledImages) -> Assigned:
        found = normalised(images, "test images")
        ranked, closeness = nearest(found, fitted.centres, k=min(NUM_RANKED, num_clusters))
        return Assigned(features=found, ranked=ranked, scores=closeness)

    return Clusterer(
        clusters_from=KMEANS,
        num_clusters=num_clusters,
        score_name="distance to the nearest centre ÷ distance to this one",
        assign=assign,
        facts={
            "kmeans_algorithm": fitted.algorithm,
            "kmeans_fitted_images": len(fitted_on),
            "kmeans_iterations": fitted.num_iterations,
        },
    )


def _drawn(train: LabelledImages, number: int, seed: int, stream: Stream) -> LabelledImages:
    """Training images drawn from the seed, without a look at their labels; all of them, where there are fewer."""
    return train.subset(rng(seed, stream).permutation(len(train))[:number])


def _estimate_statistics(
    trial: Trial, protocol: ClusterProtocol, train: LabelledImages, model: nn.Module, reader: Reader
) -> None:
    """Estimates the batch norms' statistics of a random initialisation from training images."""
    images = _drawn(train, protocol.random_statistics_images, trial.seed, Stream.STATISTICS_IMAGES)
    trial.progress(0, len(images), "batch norm statistics")
    num_batches = max(len(images) // reader.batch_size, 1)  # without the last, smaller batch
    batches = (views for _, views in islice(reader.batches(images), num_batches))
    estimate_statistics(model, batches, num_batches=num_batches, device=reader.device)


def _done(trial: Trial, images: LabelledImages, what: str) -> Callable[[int], None]:
    return lambda done: trial.progress(done, len(images), what)
