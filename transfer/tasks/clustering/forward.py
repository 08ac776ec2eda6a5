"""Images through backbone and head in one pass, keeping of the logits no more than is scored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pretrain.model import Backbone as BackboneModule
from transfer.tasks.classification.labelled import LabelledImages
from transfer.tasks.classification.loader import Transform, batches

Done = Callable[[int], None]  # called with the number of images done


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How images become batches for a device."""

    transform: Transform
    batch_size: int
    device: str

    def batches(self, images: LabelledImages) -> Iterator[Tensor]:
        """(B, 3, H, W), in the order of the rows, on the device."""
        found = batches(images, self.transform, batch_size=self.batch_size, device=self.device)
        return (views for _, views in found)


@dataclass(frozen=True)
class HeadOutputs:
    """``features`` (N, D) float32; ``ranked`` (N, k) the most likely classes, ``probabilities`` (N, k) theirs."""

    features: NDArray[np.float32]
    ranked: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def features_of(backbone: BackboneModule, images: LabelledImages, reader: Reader, done: Done) -> NDArray[np.float32]:
    """(N, D) features in eval mode, all in float32."""
    features = np.empty((len(images), backbone.num_features), dtype=np.float32)
    for rows, batch in _features_by_batch(backbone, images, reader, done):
        features[rows] = batch.cpu().numpy()
    return features


def head_outputs(
    backbone: BackboneModule, head: nn.Module, images: LabelledImages, reader: Reader, done: Done, *, k: int
) -> HeadOutputs:
    """Features, and the head's k most likely classes, in eval mode, all in float32.

    The logits of 50,000 images and 32,768 classes would be 6.5 GB: of each image no more than k are kept.

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
    backbone.eval().to(reader.device)
    start = 0
    for batch in reader.batches(images):
        with torch.inference_mode(), _without_tf32():
            features = backbone(batch.to(reader.device, non_blocking=True)).float()
        yield slice(start, start + len(batch)), features
        start += len(batch)
        done(start)


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    """cuDNN's convolutions in full float32, which by default round their inputs to ten bits of mantissa."""
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
