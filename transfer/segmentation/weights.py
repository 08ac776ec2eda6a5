"""Whether converted weights belong to a protocol's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import UserError
from common.files import sha256_file
from transfer.convert.mmseg import settings_from_config
from transfer.convert.proof import verify_proof

if TYPE_CHECKING:
    from mmengine.config import Config

    from transfer.convert.prepare import Converted


def check_weights(converted: Converted, config: Config) -> None:
    """Holds the model's config against what the conversion was proved for.

    Raises:
        UserError: another architecture, stem, stride placement or normalisation.
    """
    backbone = config.model.backbone
    if converted.arch != f"resnet{backbone.depth}":
        raise UserError(
            f"the weights are a {converted.arch}, the benchmark's model is a resnet{backbone.depth}: "
            f"use a resnet{backbone.depth}, or set model.backbone.depth and model.neck.in_channels (off protocol)"
        )
    settings = settings_from_config(backbone, config.model.data_preprocessor)
    verify_proof(converted.proof, "mmseg", converted.arch, sha256_file(converted.path), settings)
