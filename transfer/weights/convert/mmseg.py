"""MMSegmentation's ``ResNet`` and ``VisionTransformer``.

The ResNet has torchvision's keys and the plain 7x7 stem, not that of ``ResNetV1c``. The ViT has mmcv's attention, and
its position embedding is resampled without antialiasing; two of mmseg's defaults are not a ViT's: ``patch_bias`` is
False, and the layer norms have an epsilon of 1e-5 in place of 1e-6. A config has to set both.

The file is for ``init_cfg=dict(type='Pretrained', checkpoint=...)`` of the backbone.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_mmseg
from transfer.weights.backbone.architecture import IMAGE_SIZE, PATCH_SIZE, RESNETS, VITS, proved_blocks
from transfer.weights.backbone.naming import MMSEG_VIT
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert.target import (
    LAST_NORM,
    VIT_IMAGES,
    Settings,
    Target,
    check_same_tensors,
    torchvision_stages,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone

PACKAGES = ("mmsegmentation", "mmengine", "mmcv", "mmcv-lite")
PREPROCESSING = ("bgr_to_rgb", "mean", "std")
# Arguments of mmseg's backbones that do not change the features in eval mode; every other one is compared.
# A conv_cfg, dcn or plugins would change them, so they are not in this list.
NO_EFFECT = frozenset({"init_cfg", "norm_eval", "out_indices", "pretrained", "with_cp"})
RESNET_NO_EFFECT = NO_EFFECT | {"frozen_stages", "norm_cfg", "zero_init_residual"}
VIT_NO_EFFECT = NO_EFFECT | {"attn_drop_rate", "drop_path_rate", "drop_rate", "frozen_exclude"}


def resnet_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
    """The plain ResNet in mmseg's terms, with the preprocessing that the weights expect."""
    return {
        "type": "ResNet",
        "depth": RESNETS[arch].depth,
        "in_channels": 3,
        "stem_channels": RESNETS[arch].stem_channels,
        "base_channels": RESNETS[arch].stem_channels,
        "num_stages": 4,
        "strides": [1, 2, 2, 2],
        "dilations": [1, 1, 1, 1],
        "style": "pytorch",
        "deep_stem": False,
        "avg_down": False,
        "contract_dilation": False,
        **fed_by(preprocessing),
    }


def vit_settings(arch: str, preprocessing: Preprocessing) -> Settings:
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
        **fed_by(preprocessing),
    }


def fed_by(preprocessing: Preprocessing) -> Settings:
    """How images are fed to the model, in mmseg's terms."""
    return {
        "bgr_to_rgb": preprocessing.colour_order == "RGB",  # mmseg reads images as BGR
        "mean": preprocessing.pixel_mean,
        "std": preprocessing.pixel_std,
    }


def resnet_settings_of(model: Mapping[str, Any]) -> Settings:
    """What in ``model`` of an mmseg config changes the ResNet's features; what it leaves out is mmseg's default."""
    backbone = model["backbone"]
    arch = next((name for name, spec in RESNETS.items() if spec.depth == backbone.get("depth")), "resnet50")
    settings = resnet_settings(arch)
    settings |= {name: value for name, value in backbone.items() if name not in RESNET_NO_EFFECT and value is not None}
    return settings | fed_in(model)


def vit_settings_of(model: Mapping[str, Any]) -> Settings:
    """What in ``model`` of an mmseg config changes the ViT's features; what it leaves out is mmseg's default."""
    prepare_mmseg()
    from mmseg.models.backbones import VisionTransformer

    parameters = inspect.signature(VisionTransformer).parameters.values()
    arguments = {parameter.name: parameter.default for parameter in parameters} | dict(model["backbone"])
    settings = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in arguments.items()
        if name not in VIT_NO_EFFECT
    }
    return settings | fed_in(model)


def fed_in(model: Mapping[str, Any]) -> Settings:
    """How ``model`` of an mmseg config feeds images."""
    preprocessor = model["data_preprocessor"]
    return {
        "bgr_to_rgb": preprocessor.get("bgr_to_rgb", False),
        "mean": list(preprocessor["mean"]),
        "std": list(preprocessor["std"]),
    }


def write(path: Path, tensors: dict[str, Tensor], backbone: Backbone) -> None:
    """The checkpoint that mmengine reads."""
    import torch

    meta = {"arch": backbone.arch, "source_format": backbone.source_format, "source_sha256": backbone.sha256}
    with path.open("wb") as file:  # given a path, torch would write the file's name into the archive
        torch.save({"meta": meta, "state_dict": tensors}, file)


def load(path: Path, settings: Settings) -> nn.Module:
    """mmseg's backbone with ``init_cfg`` pointing at the file, initialised from it, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    import torch

    model = build(settings, {"type": "Pretrained", "checkpoint": str(path)})
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it prints every parameter; what was not loaded is found below
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where the ViT's loader says what it loads
            model.init_weights()  # type: ignore[operator]
    finally:
        logger.setLevel(level)
    file = torch.load(path, map_location="cpu", weights_only=True)
    check_same_tensors(model.state_dict(), file["state_dict"], "MMSegmentation")
    model.eval()  # on a line of its own, because mmseg's train() returns None
    return model


def build(settings: Settings, init_cfg: dict[str, str] | None = None) -> nn.Module:
    """mmseg's own backbone with these settings, from its registry; ``init_cfg`` has not been carried out yet."""
    prepare_mmseg()
    from mmengine.registry import DefaultScope
    from mmseg.models import backbones  # noqa: F401 - registers ResNet and VisionTransformer
    from mmseg.registry import MODELS

    arguments = {name: value for name, value in settings.items() if name not in PREPROCESSING}
    if arguments["type"].startswith("ResNetV1"):
        del arguments["deep_stem"], arguments["avg_down"]  # ResNetV1c and V1d set them themselves
    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build({**arguments, "init_cfg": init_cfg})


def load_vit(path: Path, settings: Settings) -> nn.Module:
    """As :func:`load`, every block that is proved an output."""
    return load(path, {**settings, "out_indices": [block - 1 for block in proved_blocks(settings["num_layers"])]})


def vit_stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The outputs of :func:`load_vit` by the names of their blocks."""
    blocks = proved_blocks(len(model.layers))  # type: ignore[arg-type]
    return {f"block{block}": tokens for block, tokens in zip(blocks, model(images), strict=True)}


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


MMSEG_RESNETS = Target(
    name="mmseg",
    suffix="mmseg.pth",
    packages=PACKAGES,
    default_settings=resnet_settings,
    settings_of=resnet_settings_of,
    preprocessing_settings=PREPROCESSING,
    write=write,
    load=load,
    stages=torchvision_stages,
)
MMSEG_VITS = Target(
    name="mmseg",
    suffix="mmseg.pth",
    packages=PACKAGES,
    naming=MMSEG_VIT,
    dropped=dict.fromkeys(LAST_NORM, "last norm: dense transfer takes the blocks as they are (final_norm=False)"),
    default_settings=vit_settings,
    settings_of=vit_settings_of,
    preprocessing_settings=PREPROCESSING,
    write=write,
    load=load_vit,
    stages=vit_stages,
    image_shapes=VIT_IMAGES,
    resample_position=resample_position,
    double=True,
)
