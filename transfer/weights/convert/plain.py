"""torchvision's and timm's ResNets: torchvision's keys as they are, without ``fc``, as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transfer.weights.backbone.architecture import RESNETS
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert.loaded import check_same_shapes, check_same_tensors
from transfer.weights.convert.target import TORCHVISION_MODULES, Settings, Target, hooked_stages

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone

WIDE_RESNETS = tuple(arch for arch, spec in RESNETS.items() if spec.widen > 1)


def default_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
    """The name under which both libraries know the plain ResNet, with the preprocessing that the weights expect."""
    return {
        "model": arch,
        "colour_order": preprocessing.colour_order,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }


def write(path: Path, tensors: dict[str, Tensor], backbone: Backbone) -> None:
    """The safetensors file; no metadata, whose order the format leaves open."""
    from safetensors.torch import save

    path.write_bytes(save(tensors))  # its save_file makes files that only their owner can read


def load_torchvision(path: Path, settings: Settings) -> nn.Module:
    """``torchvision.models.get_model`` without classifier, loaded strictly, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    import torch
    import torchvision
    from safetensors.torch import load_file

    model = torchvision.models.get_model(settings["model"], weights=None)
    model.fc = torch.nn.Identity()
    file = load_file(path)
    check_same_shapes(model.state_dict(), file, "torchvision")
    model.load_state_dict(file, strict=True)
    check_same_tensors(model.state_dict(), file, "torchvision")
    return model.eval()


def load_timm(path: Path, settings: Settings) -> nn.Module:
    """``timm.create_model`` with ``num_classes=0``, loaded by timm, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    import timm
    from safetensors.torch import load_file

    model = timm.create_model(settings["model"], pretrained=False, num_classes=0)
    file = load_file(path)
    check_same_shapes(model.state_dict(), file, "timm")
    timm.models.load_checkpoint(model, str(path), strict=True)
    check_same_tensors(model.state_dict(), file, "timm")
    return model.eval()


TORCHVISION = Target(
    name="torchvision",
    suffix="torchvision.safetensors",
    absent=dict.fromkeys(WIDE_RESNETS, "its ResNets begin with 64 channels (wide_resnet50_2 is another network)"),
    packages=("torchvision", "safetensors"),
    rename=lambda key: key,
    dropped_because="nothing is dropped",
    default_settings=default_settings,
    preprocessing_settings=("colour_order", "mean", "std"),
    write=write,
    load=load_torchvision,
    stages=lambda model, images: hooked_stages(model, images, TORCHVISION_MODULES),
)
TIMM = Target(
    name="timm",
    suffix="timm.safetensors",
    absent=dict.fromkeys(WIDE_RESNETS, "its ResNets with a 7x7 stem begin with 64 channels"),
    packages=("timm", "safetensors"),
    rename=lambda key: key,
    dropped_because="nothing is dropped",
    default_settings=default_settings,
    preprocessing_settings=("colour_order", "mean", "std"),
    write=write,
    load=load_timm,
    stages=lambda model, images: hooked_stages(model, images, TORCHVISION_MODULES),
)
