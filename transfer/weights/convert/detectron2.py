"""Detectron2's own ResNets.

The file is a pickle as in Detectron2's model zoo, for ``MODEL.WEIGHTS``. Its keys have no ``backbone.`` in front and
``matching_heuristics`` is true, because one prefix cannot fit every detector: the same tensors are
``backbone.bottom_up.res5.*`` with FPN, ``backbone.res5.*`` alone and ``roi_heads.res5.*`` with C4. The "heuristic" of
DetectionCheckpointer matches whole dotted endings, and each of these names is the ending of one key of a detector; a
trial compares every tensor after loading all the same. Reading the pickle needs NumPy 1.26 or later.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_detectron2
from transfer.weights.backbone.architecture import COUNTER, RESNETS
from transfer.weights.backbone.naming import DETECTRON2_RESNET
from transfer.weights.backbone.types import Preprocessing
from transfer.weights.convert.target import Settings, Target, check_same_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone

PACKAGES = ("pb1-detectron2", "detectron2", "fvcore")
PREPROCESSING = ("input_format", "pixel_mean", "pixel_std")
# Settings of a ResNet that are read from MODEL.RESNETS; the names here are in lower case.
RESNET_SETTINGS = (
    "depth",
    "stride_in_1x1",
    "stem_out_channels",
    "res2_out_channels",
    "num_groups",
    "width_per_group",
    "res5_dilation",
    "deform_on_per_stage",
)


def resnet_settings(arch: str, preprocessing: Preprocessing) -> Settings:
    """The plain ResNet in Detectron2's terms, with the preprocessing that the weights expect."""
    spec = RESNETS[arch]
    return {
        "depth": spec.depth,
        "stride_in_1x1": False,
        "stem_out_channels": spec.stem_channels,
        "res2_out_channels": spec.stem_channels * spec.expansion,
        "num_groups": 1,
        "width_per_group": spec.stem_channels,
        "res5_dilation": 1,
        "deform_on_per_stage": [False] * 4,
        **fed_by(preprocessing),
    }


def fed_by(preprocessing: Preprocessing) -> Settings:
    """How images are fed to the model, in Detectron2's terms."""
    return {
        "input_format": preprocessing.colour_order,
        "pixel_mean": preprocessing.pixel_mean,
        "pixel_std": preprocessing.pixel_std,
    }


def resnet_settings_of(cfg: Any) -> Settings:
    """What in a Detectron2 config changes the features of its ResNet."""
    settings = {name: cfg.MODEL.RESNETS[name.upper()] for name in RESNET_SETTINGS}
    settings["deform_on_per_stage"] = list(settings["deform_on_per_stage"])
    # basic blocks have no 1x1 convolution, and Detectron2 does not look at it for them
    settings["stride_in_1x1"] = settings["stride_in_1x1"] and settings["depth"] >= 50
    return settings | fed_in(cfg)


def fed_in(cfg: Any) -> Settings:
    """How a Detectron2 config feeds images."""
    return {
        "input_format": cfg.INPUT.FORMAT,
        "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
        "pixel_std": list(cfg.MODEL.PIXEL_STD),
    }


def write(path: Path, tensors: dict[str, Tensor], backbone: Backbone) -> None:
    """The pickle that DetectionCheckpointer reads."""
    content = {
        "model": {name: tensor.numpy() for name, tensor in tensors.items()},
        "__author__": f"twist-transfer, from {backbone.source_format}",
        "matching_heuristics": True,
    }
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=4)  # fixed: the same bytes from every Python


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that :func:`write` wrote. It is a pickle: for our own files only."""
    import torch

    with path.open("rb") as file:
        return {name: torch.from_numpy(array) for name, array in pickle.load(file)["model"].items()}


def load_resnet(path: Path, settings: Settings) -> nn.Module:
    """Detectron2's ``build_resnet_backbone`` with BN, loaded by its DetectionCheckpointer, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    model = build_resnet(settings)
    return loaded(model, path)


def build_resnet(settings: Settings) -> nn.Module:
    """Detectron2's bare ResNet with these settings, every stage an output."""
    prepare_detectron2()
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone import build_resnet_backbone

    cfg = get_cfg()
    cfg.MODEL.RESNETS.NORM = "BN"  # SyncBN and FrozenBN compute the same in eval mode
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.OUT_FEATURES = ["stem", "res2", "res3", "res4", "res5"]
    for name in RESNET_SETTINGS:
        cfg.MODEL.RESNETS[name.upper()] = settings[name]
    model: nn.Module = build_resnet_backbone(cfg, ShapeSpec(channels=3))
    return model


def loaded(model: nn.Module, path: Path) -> nn.Module:
    """The bare backbone, loaded by Detectron2's DetectionCheckpointer, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    from detectron2.checkpoint import DetectionCheckpointer

    DetectionCheckpointer(model).load(str(path))
    check_same_tensors(model.state_dict(), read(path), "Detectron2")
    return model.eval()


DETECTRON2_RESNETS = Target(
    name="detectron2",
    suffix="detectron2.pkl",
    packages=PACKAGES,
    naming=DETECTRON2_RESNET,
    dropped={COUNTER: "batch counter: Detectron2's FrozenBN has none, and its BN reads it only with momentum=None"},
    default_settings=resnet_settings,
    settings_of=resnet_settings_of,
    preprocessing_settings=PREPROCESSING,
    write=write,
    load=load_resnet,
    stages=lambda model, images: model(images),
)
