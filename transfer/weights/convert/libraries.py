"""torchvision's and timm's networks, as safetensors, without classifier.

ResNets keep torchvision's keys. torchvision offers ViT-B/16 by name (``vit_b_16``); its class builds the other sizes
too, and is what is used here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.weights.backbone.architecture import IMAGE_SIZE, PATCH_SIZE, RESNETS, VITS, proved_blocks
from transfer.weights.backbone.naming import TORCHVISION_VIT
from transfer.weights.backbone.timm_network import create_model
from transfer.weights.backbone.types import Preprocessing
from transfer.weights.convert.target import (
    VIT_IMAGES,
    Settings,
    Target,
    check_same_shapes,
    check_same_tensors,
    hooked_stages,
    torchvision_stages,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone

PREPROCESSING = ("colour_order", "mean", "std")
WIDE_RESNETS = tuple(arch for arch, spec in RESNETS.items() if spec.widen > 1)
TIMM_NAMES = {"deit_small": "deit_small_patch16_224", "vit_base": "vit_base_patch16_224"}
TIMM_SETTINGS = (
    *("embed_dim", "depth", "num_heads", "dynamic_img_size", "strict_img_size"),
    *("img_size", "patch_size", "norm_eps", "last_norm_eps"),
)
TORCHVISION_VIT_SETTINGS = ("image_size", "patch_size", "num_layers", "num_heads", "hidden_dim", "mlp_dim")


def settings_of_model(model: str, preprocessing: Preprocessing) -> Settings:
    """The name of a library's model, with the preprocessing that the weights expect. ResNets have one name in both."""
    return {
        "model": model,
        "colour_order": preprocessing.colour_order,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }


def timm_vit_settings(arch: str, preprocessing: Preprocessing) -> Settings:
    """timm's name, and the sizes that it stands for."""
    spec = VITS[arch]
    return {
        **settings_of_model(TIMM_NAMES[arch], preprocessing),
        "embed_dim": spec.width,
        "depth": spec.depth,
        "num_heads": spec.num_heads,
        "dynamic_img_size": True,
    }


def torchvision_vit_settings(arch: str, preprocessing: Preprocessing) -> Settings:
    """The arguments of torchvision's class; those of ``vit_b_16`` for ``vit_base``."""
    spec = VITS[arch]
    return {
        **settings_of_model("VisionTransformer", preprocessing),
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "num_layers": spec.depth,
        "num_heads": spec.num_heads,
        "hidden_dim": spec.width,
        "mlp_dim": 4 * spec.width,
    }


def write(path: Path, tensors: dict[str, Tensor], backbone: Backbone) -> None:
    """The safetensors file; no metadata, whose order the format leaves open."""
    from safetensors.torch import save

    path.write_bytes(save(tensors))  # its save_file makes files that only their owner can read


def load_torchvision(path: Path, settings: Settings) -> nn.Module:
    """torchvision's model without classifier, loaded strictly, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    import torch
    import torchvision
    from safetensors.torch import load_file

    if settings["model"] == "VisionTransformer":
        model = torchvision.models.VisionTransformer(**{name: settings[name] for name in TORCHVISION_VIT_SETTINGS})
        model.heads = torch.nn.Identity()
    else:
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

    arguments = {name: settings[name] for name in TIMM_SETTINGS if name in settings}
    model = create_model(settings["model"], **arguments)
    file = load_file(path)
    check_same_shapes(model.state_dict(), file, "timm")
    timm.models.load_checkpoint(model, str(path), strict=True)
    check_same_tensors(model.state_dict(), file, "timm")
    return model.eval()


def vit_stages(blocks: str, block_name: str) -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    """The patch tokens after each quarter of the blocks, as maps (B, width, H / 16, W / 16).

    Args:
        blocks: name of the module that holds the blocks.
        block_name: name of a block in it, with ``{}`` for its number.
    """

    def stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        numbers = proved_blocks(len(model.get_submodule(blocks)))  # type: ignore[arg-type]
        modules = {f"block{number}": f"{blocks}.{block_name.format(number - 1)}" for number in numbers}
        tokens = hooked_stages(model, images, modules)
        grid = (images.shape[-2] // PATCH_SIZE, images.shape[-1] // PATCH_SIZE)
        return {stage: tokens[stage][:, 1:].transpose(1, 2).unflatten(2, grid) for stage in modules}

    return stages


torchvision_target = functools.partial(
    Target,
    name="torchvision",
    suffix="torchvision.safetensors",
    packages=("torchvision", "safetensors"),
    preprocessing_settings=PREPROCESSING,
    write=write,
    load=load_torchvision,
)
timm_target = functools.partial(
    Target,
    name="timm",
    suffix="timm.safetensors",
    packages=("timm", "safetensors"),
    preprocessing_settings=PREPROCESSING,
    write=write,
    load=load_timm,
)

TORCHVISION_RESNETS = torchvision_target(
    absent=dict.fromkeys(WIDE_RESNETS, "its ResNets begin with 64 channels (wide_resnet50_2 is another network)"),
    default_settings=settings_of_model,
    stages=torchvision_stages,
)
TIMM_RESNETS = timm_target(
    absent=dict.fromkeys(WIDE_RESNETS, "its ResNets with a 7x7 stem begin with 64 channels"),
    default_settings=settings_of_model,
    stages=torchvision_stages,
)
TORCHVISION_VITS = torchvision_target(
    naming=TORCHVISION_VIT,
    default_settings=torchvision_vit_settings,
    stages=vit_stages("encoder.layers", "encoder_layer_{}"),
    image_shapes=VIT_IMAGES[:1],  # it takes no other size
    double=True,
)
TIMM_VITS = timm_target(
    default_settings=timm_vit_settings,
    stages=vit_stages("blocks", "{}"),
    image_shapes=VIT_IMAGES,
)
