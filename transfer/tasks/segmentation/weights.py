"""Whether converted weights belong to a protocol's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import sha256_file
from transfer.weights.backbone.architecture import VITS
from transfer.weights.convert.mmseg import settings_from_config
from transfer.weights.convert.proof import verify_proof

if TYPE_CHECKING:
    from mmengine.config import Config

    from transfer.weights.of_trial import Converted


def check_weights(converted: Converted, config: Config) -> None:
    """Holds the model's config against what the conversion was proved for.

    Raises:
        UserError: another architecture, stem, stride placement or normalisation.
    """
    backbone = config.model.backbone
    arch = _arch(backbone)
    if converted.arch != arch:
        names = "embed_dims and num_heads" if backbone.type == "VisionTransformer" else "depth"
        raise UserError(
            f"the weights are a {converted.arch}, the benchmark's model is a {arch}: use a {arch}, a benchmark with a "
            f"{converted.arch}, or set model.backbone's {names} and what reads its features (off protocol)"
        )
    settings = settings_from_config(backbone, config.model.data_preprocessor)
    verify_proof(converted.proof, "mmseg", converted.arch, sha256_file(converted.path), settings)


def _arch(backbone: Any) -> str:
    """The name of a config's backbone; the proof tells whether it is that in every setting."""
    if backbone.type == "ResNet":
        return f"resnet{backbone.depth}"
    widths = {spec.width: name for name, spec in VITS.items()}
    return widths.get(backbone.embed_dims, f"ViT of width {backbone.embed_dims}")
