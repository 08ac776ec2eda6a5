"""A clustering trial: every held-out image to a cluster, the clusters scored against the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.classification.protocol import ClusterProtocol, load_protocol, resolved
from transfer.record import Metric
from transfer.trial import Outcome, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pretrain.model import Backbone as BackboneModule
    from transfer.backbone import Backbone

CLASS_HEAD = "class head"
KMEANS = "k-means on frozen features"


def run(trial: Trial) -> Outcome:
    """Scores the class head's argmax, or k-means for a checkpoint without head, on the held-out images.

    A checkpoint with a head gives the same figures for every seed: nothing in it is drawn. The seed draws a random
    initialisation with its head, and the starts of k-means.

    Raises:
        UserError: a bad checkpoint, override or data folder.
    """
    import numpy as np

    from transfer.classification.images import open_split, read_all
    from transfer.clustering.metrics import cluster_scores
    from transfer.convert.prepare import torch_backbone

    protocol, difference = resolve_config(trial)
    module, backbone = torch_backbone(trial)
    test = read_all(open_split(trial.data, "val"), backbone.preprocessing)
    by_head = backbone.head is not None or trial.weights.is_random
    if by_head:
        model = _model_with_head(trial, protocol, module, backbone)
        clusters = _outputs(trial, protocol, model, test.images).argmax(axis=1)
    else:
        from transfer.clustering.assign import kmeans_clusters

        features = _outputs(trial, protocol, module, test.images)
        num_clusters = len(test.classes)
        clusters = kmeans_clusters(features, num_clusters, restarts=protocol.kmeans_restarts, seed=trial.seed)
    scores = cluster_scores(test.labels, clusters)
    one_cluster = cluster_scores(test.labels, np.zeros_like(test.labels))
    return Outcome(
        metrics={name: Metric(value=100 * score) for name, score in scores.items()},
        references={"one cluster": {name: 100 * score for name, score in one_cluster.items()}},
        resolved_config=resolved(trial.benchmark, protocol, clusters_from=CLASS_HEAD if by_head else KMEANS),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )


def resolve_config(trial: Trial) -> tuple[ClusterProtocol, list[str]]:
    """The protocol with the trial's overrides, and what they change."""
    return load_protocol(trial.benchmark, trial.overrides)


def _model_with_head(trial: Trial, protocol: ClusterProtocol, module: BackboneModule, backbone: Backbone) -> nn.Module:
    """(B, 3, H, W) to logits (B, C): the checkpoint's head, or a random one with statistics of its own."""
    from torch import nn

    from transfer.clustering import assign

    if not trial.weights.is_random:
        return nn.Sequential(module, assign.load_head(backbone))
    hidden, num_classes = protocol.random_head_hidden, protocol.random_head_classes
    model = nn.Sequential(module, assign.random_head(module.num_features, hidden, num_classes, trial.seed))
    _estimate_statistics(trial, protocol, model, backbone)
    return model


def _estimate_statistics(trial: Trial, protocol: ClusterProtocol, model: nn.Module, backbone: Backbone) -> None:
    import numpy as np

    from transfer.classification.images import open_split, read_images
    from transfer.clustering.assign import estimate_statistics

    folder = open_split(trial.data, "train")
    trial.progress(0, protocol.random_statistics_images, "batch norm statistics")
    rows = np.random.default_rng(trial.seed).permutation(len(folder))[: protocol.random_statistics_images]
    train = read_images(folder, rows, backbone.preprocessing)
    estimate_statistics(model, train.images, batch_size=protocol.batch_size, device=trial.device)


def _outputs(trial: Trial, protocol: ClusterProtocol, model: nn.Module, images: Tensor) -> NDArray[np.float32]:
    from transfer.classification.features import extract

    return extract(
        model,
        images,
        batch_size=protocol.batch_size,
        device=trial.device,
        done=lambda rows: trial.progress(rows, len(images), "held-out images"),
    )
