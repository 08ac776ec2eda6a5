"""Class heads: a checkpoint's own, and for a random initialisation a random one with precise statistics."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from common.errors import UserError
from pretrain.model import ProjectionHead
from transfer.weights.backbone import Backbone

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


def estimate_statistics(model: nn.Module, batches: Iterable[Tensor], *, num_batches: int, device: str) -> None:
    """Sets the running statistics of all batch norms to their means over batches (precise BN), in place.

    Args:
        batches: at least ``num_batches`` of (B, 3, H, W), normalised and of one size.
    """

    def on_device() -> Iterator[Tensor]:
        for images in batches:
            yield images.to(device)

    model.to(device).train()
    with torch.inference_mode():
        update_bn_stats(model, on_device(), num_iters=num_batches)
    model.eval()
