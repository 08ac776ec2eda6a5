"""Detectron2's ResNets: ``stem`` and ``res2`` to ``res5``, as its own tool names torchvision's weights.

The file is a pickle as in Detectron2's model zoo, for ``MODEL.WEIGHTS``. Its keys have no ``backbone.`` in front and
``matching_heuristics`` is true, because one prefix cannot fit every detector: the same tensors are
``backbone.bottom_up.res5.*`` with FPN, ``backbone.res5.*`` alone and ``roi_heads.res5.*`` with C4. The "heuristic" of
DetectionCheckpointer matches whole dotted endings, and each of these names is the ending of one key of a detector;
:func:`check_detector` makes sure that it was so in the detector at hand. Reading the pickle needs NumPy 1.26 or later.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_detectron2
from transfer.weights.backbone.architecture import COUNTER, RESNETS
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert.loaded import check_same_tensors
from transfer.weights.convert.target import ConversionError, Settings, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone

# torchvision's key, Detectron2's key; {stage} counts from layer1 = res2
ROWS = (
    (r"conv1\.(?P<part>\w+)", "stem.conv1.{part}"),
    (r"bn1\.(?P<part>\w+)", "stem.conv1.norm.{part}"),
    (r"layer(?P<layer>\d)\.(?P<block>\d+)\.conv(?P<conv>\d)\.(?P<part>\w+)", "res{stage}.{block}.conv{conv}.{part}"),
    (r"layer(?P<layer>\d)\.(?P<block>\d+)\.bn(?P<conv>\d)\.(?P<part>\w+)", "res{stage}.{block}.conv{conv}.norm.{part}"),
    (r"layer(?P<layer>\d)\.(?P<block>\d+)\.downsample\.0\.(?P<part>\w+)", "res{stage}.{block}.shortcut.{part}"),
    (r"layer(?P<layer>\d)\.(?P<block>\d+)\.downsample\.1\.(?P<part>\w+)", "res{stage}.{block}.shortcut.norm.{part}"),
)


def rename(key: str) -> str | None:
    """torchvision's key to Detectron2's; None for batch counters.

    Raises:
        ConversionError: no row fits.
    """
    if key.endswith(COUNTER):
        return None
    for pattern, name in ROWS:
        if match := re.fullmatch(pattern, key):
            fields = match.groupdict()
            return name.format(stage=int(fields.get("layer", 0)) + 1, **fields)
    raise ConversionError(f"the key table of Detectron2 has no row for {key!r}")


def default_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
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
        "input_format": preprocessing.colour_order,
        "pixel_mean": preprocessing.pixel_mean,
        "pixel_std": preprocessing.pixel_std,
    }


def settings_from_cfg(cfg: Any) -> Settings:
    """What of a Detectron2 config changes the features, for :func:`transfer.weights.convert.proof.verify_proof`."""
    resnets = cfg.MODEL.RESNETS
    return {
        "depth": resnets.DEPTH,
        # basic blocks have no 1×1 convolution, and Detectron2 does not look at it for them
        "stride_in_1x1": resnets.STRIDE_IN_1X1 and resnets.DEPTH >= 50,
        "stem_out_channels": resnets.STEM_OUT_CHANNELS,
        "res2_out_channels": resnets.RES2_OUT_CHANNELS,
        "num_groups": resnets.NUM_GROUPS,
        "width_per_group": resnets.WIDTH_PER_GROUP,
        "res5_dilation": resnets.RES5_DILATION,
        "deform_on_per_stage": list(resnets.DEFORM_ON_PER_STAGE),
        "input_format": cfg.INPUT.FORMAT,
        "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
        "pixel_std": list(cfg.MODEL.PIXEL_STD),
    }


def check_detector(detector: nn.Module, weights: Path) -> None:
    """Checks that every tensor of the file is in the detector, under exactly one key, with these values.

    Args:
        detector: a model of Detectron2 after ``DetectionCheckpointer(detector).load(weights)``, before training.

    Raises:
        ConversionError: a tensor is nowhere, in two places, or has other values.
    """
    state = detector.state_dict()
    loaded: dict[str, Tensor] = {}
    file = read(weights)
    for name in file:
        homes = [key for key in state if key == name or key.endswith("." + name)]
        if len(homes) != 1:
            raise ConversionError(f"Detectron2: {name!r} fits {len(homes)} keys of the detector, should be one")
        loaded[name] = state[homes[0]]
    check_same_tensors(loaded, file, "Detectron2")


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


def load(path: Path, settings: Settings) -> nn.Module:
    """Detectron2's ``build_resnet_backbone`` with BN, loaded by its DetectionCheckpointer, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    prepare_detectron2()
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone import build_resnet_backbone

    model = build_resnet_backbone(build_cfg(settings), ShapeSpec(channels=3))
    DetectionCheckpointer(model).load(str(path))
    check_same_tensors(model.state_dict(), read(path), "Detectron2")
    return model.eval()


def build_cfg(settings: Settings) -> Any:
    """Detectron2's config of the bare ResNet with these settings, every stage an output."""
    from detectron2.config import get_cfg

    cfg = get_cfg()
    cfg.MODEL.RESNETS.NORM = "BN"  # SyncBN and FrozenBN compute the same in eval mode
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.OUT_FEATURES = ["stem", "res2", "res3", "res4", "res5"]
    for name in (
        "depth",
        "stride_in_1x1",
        "stem_out_channels",
        "res2_out_channels",
        "num_groups",
        "width_per_group",
        "res5_dilation",
        "deform_on_per_stage",
    ):
        cfg.MODEL.RESNETS[name.upper()] = settings[name]
    return cfg


DETECTRON2 = Target(
    name="detectron2",
    suffix="detectron2.pkl",
    packages=("pb1-detectron2", "detectron2", "fvcore"),
    rename=rename,
    dropped_because="batch counter: Detectron2's FrozenBN has none, and its BN reads it only with momentum=None",
    default_settings=default_settings,
    preprocessing_settings=("input_format", "pixel_mean", "pixel_std"),
    write=write,
    load=load,
    stages=lambda model, images: model(images),
)
