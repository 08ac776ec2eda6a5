"""A frozen backbone and its class head: where heads come from, and images through both in one pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pretrain.model import Backbone as BackboneModule
from pretrain.model.head import ProjectionHead
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.loader import View, batches
from transfer.tasks.classification.precision import computed_in, place
from transfer.tasks.classification.protocol import Precision
from transfer.weights.backbone import Backbone
from twist_common.errors import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore.nn scripts its losses, which is deprecated, on import
    from fvcore.nn.precise_bn import update_bn_stats

Done = Callable[[int], None]  # called with the number of images done


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How images become batches on a device, and in which precision a backbone's passes are there."""

    view: View
    batch_size: int
    device: str
    precision: Precision = "fp32"

    def batches(self, images: LabelledImages, done: Done = lambda rows: None) -> Iterator[tuple[slice, Tensor]]:
        """See :func:`transfer.tasks.classification.loader.batches`."""
        return batches(images, self.view, batch_size=self.batch_size, device=self.device, done=done)


@dataclass(frozen=True)
class HeadOutputs:
    """``features`` (N, D) float32; ``ranked`` (N, k) the most likely classes, ``probabilities`` (N, k) theirs."""

    features: NDArray[np.float32]
    ranked: NDArray[np.int64]
    probabilities: NDArray[np.float32]


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


def estimate_statistics(model: nn.Module, batches: Iterable[Tensor], *, num_batches: int, device: str) -> None:
    """Sets the running statistics of all batch norms to their means over batches (precise BN), in place.

    Args:
        batches: at least ``num_batches`` of (B, 3, H, W), normalised, of one size, on the device.
    """
    model.to(device).train()
    with torch.inference_mode():
        update_bn_stats(model, batches, num_iters=num_batches)
    model.eval()


def features_of(backbone: BackboneModule, images: LabelledImages, reader: Reader, done: Done) -> NDArray[np.float32]:
    """(N, D) features in eval mode, kept in float32."""
    features = np.empty((len(images), backbone.num_features), dtype=np.float32)
    for rows, batch in _features_by_batch(backbone, images, reader, done):
        features[rows] = batch.cpu().numpy()
    return features


def head_outputs(
    backbone: BackboneModule, head: nn.Module, images: LabelledImages, reader: Reader, done: Done, *, k: int
) -> HeadOutputs:
    """Features, and the head's k most likely classes, in eval mode, all in float32.

    The logits of 50,000 images and 32,768 classes would be 6.5 GB: no more than k are kept of each image.

    Args:
        head: (B, D) features to (B, C) logits, C at least k.

    Raises:
        FloatingPointError: a logit is not a number.
    """
    head.eval().to(reader.device)
    features = np.empty((len(images), backbone.num_features), dtype=np.float32)
    ranked = np.empty((len(images), k), dtype=np.int64)
    probabilities = np.empty((len(images), k), dtype=np.float32)
    for rows, batch in _features_by_batch(backbone, images, reader, done):
        with torch.inference_mode():
            logits = head(batch).float()
            # Logits, since probabilities near 1 tie in float32; stable, so that of equals the lowest comes first.
            order = logits.sort(dim=1, descending=True, stable=True).indices[:, :k]
            likely = logits.softmax(dim=1).gather(1, order)
        features[rows] = batch.cpu().numpy()
        ranked[rows], probabilities[rows] = order.cpu().numpy(), likely.cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise FloatingPointError(f"the class head gives no numbers for some of {images.name}: its weights are damaged")
    return HeadOutputs(features, ranked, probabilities)


def _features_by_batch(
    backbone: BackboneModule, images: LabelledImages, reader: Reader, done: Done
) -> Iterator[tuple[slice, Tensor]]:
    """Rows, and their features (B, D) on the device."""
    place(backbone.eval(), reader.precision, reader.device)
    for rows, views in reader.batches(images, done):
        with torch.inference_mode(), computed_in(reader.precision, reader.device):
            features = backbone(views).float()
        yield rows, features
