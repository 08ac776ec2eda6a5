"""The protocol of unsupervised classification, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transfer.tasks.classification.protocol import Interpolation, Precision


@dataclass(frozen=True, kw_only=True)
class ClusterProtocol:
    """Each test image is assigned to one of C clusters: the class head's argmax in eval mode, or k-means on features.

    Features are compared by Euclidean distance after each is scaled to length one, by k-means and by the silhouette.

    Attributes:
        clusters_from: ``"kmeans"`` for every checkpoint; ``"auto"`` takes the class head where a checkpoint has one
            (for a random initialisation a random head), else k-means.
        resize, crop: short side, then the square in the middle, in pixels; None skips a step.
        interpolation: of ``resize``, for every backbone.
        random_head_hidden, random_head_classes: the head of a random initialisation, drawn from the trial's seed.
        random_statistics_images: a random initialisation's batch norms have seen no image, so their running
            statistics mean nothing; before scoring they are estimated from this many training images (precise BN).
            Checkpoints keep the statistics that they come with.
        kmeans_clusters: None: one per class.
        kmeans_images: training images, drawn by the seed without their labels, that k-means is fitted to (all, where
            there are fewer); test images go to the nearest centre.
        kmeans_restarts: runs from different k-means++ starts; the one with the least inertia counts.
        kmeans_minibatch_above: with more training images than this, MiniBatchKMeans in place of Lloyd's algorithm.
        silhouette_images: with more test images than this, the silhouette is the mean over this many, drawn by the
            seed; each is still compared with all images.
        top3_images: how many test images, drawn by the seed, the picture of the three most likely classes shows.
        batch_size: of the forward passes.
        precision: of the backbone's passes on GPUs; the head's are in single precision.
    """

    clusters_from: Literal["auto", "kmeans"]
    resize: int | None
    crop: int | None
    interpolation: Interpolation
    random_head_hidden: int
    random_head_classes: int
    random_statistics_images: int
    kmeans_clusters: int | None
    kmeans_images: int
    kmeans_restarts: int
    kmeans_minibatch_above: int
    silhouette_images: int
    top3_images: int
    batch_size: int
    precision: Precision = "fp32"
