"""Images to clusters: by a class head's argmax, or by k-means on features."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import UserError
from pretrain.model import ProjectionHead
from transfer.backbone import Backbone

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore.nn scripts its losses, which is deprecated, on import
    from fvcore.nn.precise_bn import update_bn_stats


def load_head(backbone: Backbone) -> ProjectionHead:
    """The checkpoint's class head (TWIST's projection head with its NBS), loaded strictly.

    Raises:
        UserError: the head is damaged or not of this kind.
    """
    assert backbone.head is not None and backbone.head_config is not None
    try:
        with torch.random.fork_rng(devices=[]):
            head = ProjectionHead(**backbone.head_config)
        head.load_state_dict(backbone.head, strict=True)
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the class head in {backbone.source} cannot be loaded ({reason}): it is damaged") from None
    return head


def random_head(in_features: int, hidden: int, num_classes: int, seed: int) -> ProjectionHead:
    """A class head with torch's default initialisation, drawn from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return ProjectionHead(in_features, hidden, num_classes)


def estimate_statistics(model: nn.Module, images: Tensor, *, batch_size: int, device: str) -> None:
    """Sets the running statistics of all batch norms to their means over ``images`` (precise BN), in place.

    Args:
        images: (N, 3, H, W), normalised; the last, smaller batch is left out.
    """

    def batches() -> Iterator[Tensor]:
        for start in range(0, num_batches * batch_size, batch_size):
            yield images[start : start + batch_size].to(device)

    num_batches = len(images) // batch_size
    model.to(device).train()
    with torch.inference_mode():
        update_bn_stats(model, batches(), num_iters=num_batches)
    model.eval()


def kmeans_clusters(features: NDArray[np.float32], num_clusters: int, *, restarts: int, seed: int) -> NDArray[np.int64]:
    """(N,) cluster ids by k-means (k-means++ starts, Euclidean distance) on features as they are."""
    from sklearn.cluster import KMeans

    kmeans = KMeans(num_clusters, n_init=restarts, random_state=seed)
    return kmeans.fit_predict(features.astype(np.float64)).astype(np.int64)
