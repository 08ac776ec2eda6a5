"""MMSegmentation's ``ResNet``: torchvision's keys as they are; plain 7×7 stem, not that of ``ResNetV1c``.

The file is for ``init_cfg=dict(type='Pretrained', checkpoint=...)`` of the backbone.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_mmseg
from transfer.weights.backbone.architecture import RESNETS
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert.loaded import check_same_tensors
from transfer.weights.convert.target import TORCHVISION_MODULES, Settings, Target, hooked_stages

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone

# Arguments of mmseg's ResNet that leave the eval-mode features as they are; every other one is compared.
# A conv_cfg, dcn or plugins would change them, so they are not in this list.
NO_EFFECT = frozenset(
    {"norm_cfg", "norm_eval", "frozen_stages", "init_cfg", "pretrained", "out_indices", "with_cp", "zero_init_residual"}
)
PREPROCESSING = ("bgr_to_rgb", "mean", "std")


def default_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
    """The plain ResNet in mmseg's terms, with the preprocessing that the weights expect.

    ``bgr_to_rgb`` is true because mmseg reads images as BGR.
    """
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
        "bgr_to_rgb": preprocessing.colour_order == "RGB",
        "mean": preprocessing.pixel_mean,
        "std": preprocessing.pixel_std,
    }


def settings_from_config(backbone: Mapping[str, Any], data_preprocessor: Mapping[str, Any]) -> Settings:
    """What of an mmseg config changes the backbone's features, for :func:`transfer.weights.convert.proof.verify_proof`.

    Args:
        backbone: ``model.backbone`` of the config; what it leaves out is mmseg's default.
        data_preprocessor: ``model.data_preprocessor``.
    """
    if backbone.get("type") == "VisionTransformer":
        from transfer.weights.convert import mmseg_vit

        return mmseg_vit.settings_from_config(backbone, data_preprocessor)
    arch = next((name for name, spec in RESNETS.items() if spec.depth == backbone.get("depth")), "resnet50")
    settings = {name: value for name, value in default_settings(arch).items() if name not in PREPROCESSING}
    settings |= {name: value for name, value in backbone.items() if name not in NO_EFFECT and value is not None}
    return settings | {
        "bgr_to_rgb": data_preprocessor.get("bgr_to_rgb", False),
        "mean": list(data_preprocessor["mean"]),
        "std": list(data_preprocessor["std"]),
    }


def write(path: Path, tensors: dict[str, Tensor], backbone: Backbone) -> None:
    """The checkpoint that mmengine reads."""
    import torch

    meta = {"arch": backbone.arch, "source_format": backbone.source_format, "source_sha256": backbone.sha256}
    with path.open("wb") as file:  # given a path, torch would write the file's name into the archive
        torch.save({"meta": meta, "state_dict": tensors}, file)


def build(settings: Settings, init_cfg: dict[str, str] | None = None) -> nn.Module:
    """mmseg's own backbone with these settings, from its registry; ``init_cfg`` has not been carried out yet."""
    prepare_mmseg()
    from mmengine.registry import DefaultScope
    from mmseg.models import backbones  # noqa: F401 - registers ResNet and VisionTransformer
    from mmseg.registry import MODELS

    arguments = {name: value for name, value in settings.items() if name not in PREPROCESSING}
    if arguments["type"].startswith("ResNetV1"):
        del arguments["deep_stem"], arguments["avg_down"]  # ResNetV1c and V1d set them by themselves
    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build({**arguments, "init_cfg": init_cfg})


def load(path: Path, settings: Settings) -> nn.Module:
    """mmseg's backbone with ``init_cfg`` pointing at the file, initialised from it, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    import torch

    model = build(settings, {"type": "Pretrained", "checkpoint": str(path)})
    with _quiet():
        model.init_weights()  # type: ignore[operator]
    file = torch.load(path, map_location="cpu", weights_only=True)
    check_same_tensors(model.state_dict(), file["state_dict"], "MMSegmentation")
    model.eval()  # apart, because mmseg's train() gives back None
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps mmengine from printing every parameter and file; what was not loaded is checked after it."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where the ViT's loader says what it loads
            yield
    finally:
        logger.setLevel(level)


MMSEG = Target(
    name="mmseg",
    suffix="mmseg.pth",
    packages=("mmsegmentation", "mmengine", "mmcv", "mmcv-lite"),
    rename=lambda key: key,
    dropped_because="nothing is dropped",
    default_settings=default_settings,
    preprocessing_settings=PREPROCESSING,
    write=write,
    load=load,
    stages=lambda model, images: hooked_stages(model, images, TORCHVISION_MODULES),
)
