"""Detectron2 with the ViT of :mod:`transfer.tasks.detection.vit`: timm's keys as they are, without the last norm.

Detectron2 0.6 has no ViT, so the network is timm's on both sides; what the proof shows is that Detectron2's
checkpointer put every tensor in its place, and that the config describes this network and this preprocessing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_detectron2
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert import detectron2
from transfer.weights.convert.loaded import check_same_tensors
from transfer.weights.convert.plain_vit import VIT_IMAGES
from transfer.weights.convert.target import Settings, Target

if TYPE_CHECKING:
    from torch import nn


def default_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
    """The ViT in the terms of our backbone for Detectron2, with the preprocessing that the weights expect."""
    return {
        "arch": arch,
        "input_format": preprocessing.colour_order,
        "pixel_mean": preprocessing.pixel_mean,
        "pixel_std": preprocessing.pixel_std,
    }


def settings_from_cfg(cfg: Any) -> Settings:
    """What of a Detectron2 config with ``MODEL.VIT`` changes the features of the ViT's blocks."""
    return {
        "arch": cfg.MODEL.VIT.ARCH,
        "input_format": cfg.INPUT.FORMAT,
        "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
        "pixel_std": list(cfg.MODEL.PIXEL_STD),
    }


def rename(key: str) -> str | None:
    """timm's key as it is; None for the last norm."""
    return None if key in ("norm.weight", "norm.bias") else key


def load(path: Path, settings: Settings) -> nn.Module:
    """The bare ViT, built by Detectron2's registry and loaded by its DetectionCheckpointer, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    prepare_detectron2()
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.modeling import build_backbone

    from transfer.tasks.detection import vit

    vit.register()
    cfg = get_cfg()
    vit.add_vit_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_vit_backbone"
    cfg.MODEL.VIT.ARCH = settings["arch"]
    model: nn.Module = build_backbone(cfg)
    DetectionCheckpointer(model).load(str(path))
    check_same_tensors(model.get_submodule("vit").state_dict(), detectron2.read(path), "Detectron2")
    return model.eval()


DETECTRON2_VIT_TARGET = Target(
    name="detectron2",
    suffix="detectron2.pkl",
    packages=("pb1-detectron2", "detectron2", "fvcore", "timm"),
    rename=rename,
    dropped_because="last norm: detection takes the blocks as they are",
    default_settings=default_settings,
    preprocessing_settings=("input_format", "pixel_mean", "pixel_std"),
    write=detectron2.write,
    load=load,
    stages=lambda model, images: model(images),
    image_shapes=VIT_IMAGES,
)
