"""The two ways from images to clusters. Both are ready, and have seen training images only, before the test set is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from common.errors import UserError
from pretrain.model import Backbone as BackboneModule
from transfer.tasks.classification.labelled import LabelledImages
from transfer.tasks.clustering import head as heads
from transfer.tasks.clustering import kmeans
from transfer.tasks.clustering.forward import Reader, features_of, head_outputs
from transfer.tasks.clustering.protocol import ClusterProtocol
from transfer.weights.backbone import Backbone

CLASS_HEAD = "class head"
KMEANS = "k-means on frozen features"
NUM_RANKED = 5  # what top5 and the picture of the three most likely classes need
STATISTICS_STREAM, KMEANS_STREAM = 0, 1

Progress = Callable[[int, int, str], None]


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
    """Gives every image a cluster.

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


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a clusterer is made from: the network, images of the training split, and the trial's seed."""

    module: BackboneModule
    backbone: Backbone
    is_random: bool
    train: LabelledImages
    reader: Reader
    protocol: ClusterProtocol
    seed: int
    progress: Progress


def make_clusterer(source: Source) -> Clusterer:
    """By the class head or by k-means, as the protocol says for these weights.

    Raises:
        UserError: the head is damaged, an image cannot be read, or there are fewer images than clusters.
    """
    has_head = source.backbone.head is not None or source.is_random
    if source.protocol.clusters_from == "kmeans" or not has_head:
        return _by_kmeans(source)
    return _by_head(source)


def _by_head(source: Source) -> Clusterer:
    protocol, module = source.protocol, source.module
    if source.is_random:
        hidden, num_clusters = protocol.random_head_hidden, protocol.random_head_classes
        head = heads.random_head(module.num_features, hidden, num_clusters, source.seed)
        _estimate_statistics(source, nn.Sequential(module, head))
    else:
        head = heads.load_head(source.backbone)
        assert source.backbone.head_config is not None
        num_clusters = source.backbone.head_config["num_classes"]
    k = min(NUM_RANKED, num_clusters)

    def assign(images: LabelledImages) -> Assigned:
        outputs = head_outputs(module, head, images, source.reader, _counted(source, images, "test images"), k=k)
        features = kmeans.normalise_(outputs.features)
        return Assigned(features=features, ranked=outputs.ranked, scores=outputs.probabilities)

    return Clusterer(clusters_from=CLASS_HEAD, num_clusters=num_clusters, score_name="probability", assign=assign)


def _by_kmeans(source: Source) -> Clusterer:
    protocol, module = source.protocol, source.module
    if source.is_random:
        _estimate_statistics(source, module)
    num_clusters = protocol.kmeans_clusters or len(source.train.classes)
    train = _drawn(source, protocol.kmeans_images, KMEANS_STREAM)
    if len(train) < num_clusters:
        raise UserError(
            f"k-means with {num_clusters} clusters on {len(train)} images of {train.name}: "
            "raise kmeans_images or lower kmeans_clusters"
        )
    features = kmeans.normalise_(features_of(module, train, source.reader, _counted(source, train, "training images")))
    source.progress(0, 1, "k-means")
    fitted = kmeans.fit(
        features,
        num_clusters,
        restarts=protocol.kmeans_restarts,
        seed=source.seed,
        minibatch_above=protocol.kmeans_minibatch_above,
    )
    source.progress(1, 1, "k-means")

    def assign(images: LabelledImages) -> Assigned:
        found = kmeans.normalise_(features_of(module, images, source.reader, _counted(source, images, "test images")))
        ranked, closeness = kmeans.nearest(found, fitted.centres, k=min(NUM_RANKED, num_clusters))
        return Assigned(features=found, ranked=ranked, scores=closeness)

    return Clusterer(
        clusters_from=KMEANS,
        num_clusters=num_clusters,
        score_name="distance to the nearest centre ÷ distance to this one",
        assign=assign,
        facts={
            "kmeans_algorithm": fitted.algorithm,
            "kmeans_fitted_images": len(train),
            "kmeans_iterations": fitted.num_iterations,
        },
    )


def _drawn(source: Source, number: int, stream: int) -> LabelledImages:
    """Training images drawn from the seed, without a look at their labels; all of them, where there are fewer."""
    rows = np.random.default_rng([source.seed, stream]).permutation(len(source.train))[:number]
    return source.train.subset(rows)


def _estimate_statistics(source: Source, model: nn.Module) -> None:
    """Gives a random initialisation's batch norms the statistics of training images."""
    images = _drawn(source, source.protocol.random_statistics_images, STATISTICS_STREAM)
    source.progress(0, len(images), "batch norm statistics")
    num_batches = max(len(images) // source.reader.batch_size, 1)  # without the last, smaller batch
    batches = islice(source.reader.batches(images), num_batches)
    heads.estimate_statistics(model, batches, num_batches=num_batches, device=source.reader.device)


def _counted(source: Source, images: LabelledImages, what: str) -> Callable[[int], None]:
    return lambda done: source.progress(done, len(images), what)
