"""MMSegmentation's ``VisionTransformer``: mmcv's attention, position embedding resampled without antialiasing.

The file is for ``init_cfg=dict(type='Pretrained', checkpoint=...)`` of the backbone. Two of mmseg's defaults are not a
ViT's: ``patch_bias`` is False, and the layer norms have an epsilon of 1e-5 in place of 1e-6; a config has to set both.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_mmseg
from transfer.weights.backbone.architecture import IMAGE_SIZE, PATCH_SIZE, VITS, ViTSpec
from transfer.weights.backbone.naming import MMSEG_VIT
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert import mmseg
from transfer.weights.convert.plain_vit import VIT_IMAGES
from transfer.weights.convert.target import ConversionError, Settings, Target

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

# Arguments of mmseg's ViT that leave the features of its blocks in eval mode as they are; every other one is compared.
NO_EFFECT = frozenset(
    {
        "attn_drop_rate",
        "drop_path_rate",
        "drop_rate",
        "frozen_exclude",
        "init_cfg",
        "norm_eval",
        "out_indices",
        "pretrained",
        "with_cp",
    }
)


def default_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
    """The ViT in mmseg's terms, with the preprocessing that the weights expect."""
    spec = VITS[arch]
    return {
        "type": "VisionTransformer",
        "img_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "patch_pad": "corner",
        "in_channels": 3,
        "embed_dims": spec.width,
        "num_layers": spec.depth,
        "num_heads": spec.num_heads,
        "mlp_ratio": 4,
        "num_fcs": 2,
        "qkv_bias": True,
        "patch_bias": True,
        "patch_norm": False,
        "pre_norm": False,
        "final_norm": False,
        "out_origin": False,
        "with_cls_token": True,
        "output_cls_token": False,
        "interpolate_mode": "bicubic",
        "norm_cfg": {"type": "LN", "eps": 1e-6},
        "act_cfg": {"type": "GELU"},
        "bgr_to_rgb": preprocessing.colour_order == "RGB",
        "mean": preprocessing.pixel_mean,
        "std": preprocessing.pixel_std,
    }


def settings_from_config(backbone: Mapping[str, Any], data_preprocessor: Mapping[str, Any]) -> Settings:
    """What of an mmseg config changes the backbone's features; what it leaves out is mmseg's default.

    Args:
        backbone: ``model.backbone`` of the config.
        data_preprocessor: ``model.data_preprocessor``.
    """
    prepare_mmseg()
    from mmseg.models.backbones import VisionTransformer

    parameters = list(inspect.signature(VisionTransformer).parameters.values())
    arguments = {parameter.name: parameter.default for parameter in parameters} | dict(backbone)
    settings = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in arguments.items()
        if name not in NO_EFFECT
    }
    return settings | {
        "bgr_to_rgb": data_preprocessor.get("bgr_to_rgb", False),
        "mean": list(data_preprocessor["mean"]),
        "std": list(data_preprocessor["std"]),
    }


def rename(key: str) -> str | None:
    """timm's key to mmseg's; None for the last norm.

    Raises:
        ConversionError: no row fits.
    """
    if key in ("norm.weight", "norm.bias"):
        return None
    name = MMSEG_VIT.theirs(key)
    if name is None:
        raise ConversionError(f"the key table of mmseg's ViT has no row for {key!r}")
    return name


def resample_position(position: Tensor, grid: tuple[int, int]) -> Tensor:
    """mmseg's rule for another grid: bicubic, corners not aligned, without antialiasing; the class token's stays.

    Args:
        position: (1, 1 + tokens, width), the tokens those of a square.
        grid: rows and columns of patches.

    Returns:
        (1, 1 + rows × columns, width).
    """
    import torch
    import torch.nn.functional as F

    side = round((position.shape[1] - 1) ** 0.5)
    if grid == (side, side):
        return position
    square = position[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    resampled = F.interpolate(square, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([position[:, :1], resampled.flatten(2).transpose(1, 2)], dim=1)


def load(path: Path, settings: Settings) -> nn.Module:
    """mmseg's ViT, initialised from the file, every proved block an output, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    return mmseg.load(path, {**settings, "out_indices": [block - 1 for block in _blocks(settings["num_layers"])]})


def _blocks(num_layers: int) -> list[int]:
    return [int(stage.removeprefix("block")) for stage in ViTSpec(0, 0, num_layers).stages]


def _stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    blocks = _blocks(len(model.layers))  # type: ignore[arg-type]
    return {f"block{block}": tokens for block, tokens in zip(blocks, model(images), strict=True)}


MMSEG_VIT_TARGET = Target(
    name="mmseg",
    suffix="mmseg.pth",
    packages=("mmsegmentation", "mmengine", "mmcv", "mmcv-lite"),
    rename=rename,
    dropped_because="last norm: dense transfer takes the blocks as they are (final_norm=False)",
    default_settings=default_settings,
    preprocessing_settings=mmseg.PREPROCESSING,
    write=mmseg.write,
    load=load,
    stages=_stages,
    image_shapes=VIT_IMAGES,
    resample_position=resample_position,
    double=True,
)
