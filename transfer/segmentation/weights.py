"""Whether converted weights belong to a protocol's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from transfer.convert.prepare import Converted


def check_weights(converted: Converted, config: Config) -> None:
    """Compares architecture and normalisation with the model's config.

    Raises:
        UserError: they differ.
    """
    depth = config.model.backbone.depth
    if converted.arch != f"resnet{depth}":
        raise UserError(
            f"the weights are a {converted.arch}, the benchmark's model is a resnet{depth}: "
            f"use a resnet{depth}, or set model.backbone.depth and model.neck.in_channels (off protocol)"
        )
