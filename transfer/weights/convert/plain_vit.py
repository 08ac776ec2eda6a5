"""timm's and torchvision's vision transformers, as safetensors.

torchvision offers ViT-B/16 by name (``vit_b_16``); its class builds the other sizes too, and is what is used here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transfer.weights.backbone.architecture import IMAGE_SIZE, PATCH_SIZE, VITS, ViTSpec
from transfer.weights.backbone.naming import TORCHVISION_VIT
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert import plain
from transfer.weights.convert.loaded import check_same_shapes, check_same_tensors
from transfer.weights.convert.target import ConversionError, Settings, Shapes, Target, hooked_stages

if TYPE_CHECKING:
    from torch import Tensor, nn

# The second size has another grid, so that the resampling of the position embedding is compared too.
VIT_IMAGES: Shapes = ((1, 3, IMAGE_SIZE, IMAGE_SIZE), (2, 3, IMAGE_SIZE // 2, IMAGE_SIZE // 2))
ONE_SIZE: Shapes = VIT_IMAGES[:1]

TIMM_NAMES = {"deit_small": "deit_small_patch16_224", "vit_base": "vit_base_patch16_224"}


def timm_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
    """timm's name, and the sizes that it stands for."""
    spec = VITS[arch]
    return {
        **plain.default_settings(TIMM_NAMES[arch], preprocessing),
        "embed_dim": spec.width,
        "depth": spec.depth,
        "num_heads": spec.num_heads,
        "dynamic_img_size": True,
    }


def torchvision_settings(arch: str, preprocessing: Preprocessing = IMAGENET) -> Settings:
    """The arguments of torchvision's class; those of ``vit_b_16`` for ``vit_base``."""
    spec = VITS[arch]
    return {
        **plain.default_settings("VisionTransformer", preprocessing),
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "num_layers": spec.depth,
        "num_heads": spec.num_heads,
        "hidden_dim": spec.width,
        "mlp_dim": 4 * spec.width,
    }


def load_timm(path: Path, settings: Settings) -> nn.Module:
    """``timm.create_model`` with ``num_classes=0``, loaded by timm, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    import timm
    from safetensors.torch import load_file

    names = ("embed_dim", "depth", "num_heads", "dynamic_img_size")
    arguments = {name: settings[name] for name in names}
    model: nn.Module = timm.create_model(settings["model"], pretrained=False, num_classes=0, **arguments)
    file = load_file(path)
    check_same_shapes(model.state_dict(), file, "timm")
    timm.models.load_checkpoint(model, str(path), strict=True)
    check_same_tensors(model.state_dict(), file, "timm")
    return model.eval()


def load_torchvision(path: Path, settings: Settings) -> nn.Module:
    """``torchvision.models.VisionTransformer`` without classifier, loaded strictly, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    import torch
    import torchvision
    from safetensors.torch import load_file

    names = ("image_size", "patch_size", "num_layers", "num_heads", "hidden_dim", "mlp_dim")
    model = torchvision.models.VisionTransformer(**{name: settings[name] for name in names})
    model.heads = torch.nn.Identity()
    file = load_file(path)
    check_same_shapes(model.state_dict(), file, "torchvision")
    model.load_state_dict(file, strict=True)
    check_same_tensors(model.state_dict(), file, "torchvision")
    return model.eval()


def rename_torchvision(key: str) -> str:
    """timm's key to torchvision's.

    Raises:
        ConversionError: no row fits.
    """
    name = TORCHVISION_VIT.theirs(key)
    if name is None:
        raise ConversionError(f"the key table of torchvision's ViT has no row for {key!r}")
    return name


def block_maps(model: nn.Module, images: Tensor, module: str, num_blocks: int) -> dict[str, Tensor]:
    """The patch tokens after each quarter of the blocks, as maps (B, width, H / 16, W / 16).

    Args:
        module: name of a block, with ``{}`` for its number.
        num_blocks: of the model.
    """
    stages = ViTSpec(0, 0, num_blocks).stages
    modules = {stage: module.format(int(stage.removeprefix("block")) - 1) for stage in stages}
    grid = (images.shape[-2] // PATCH_SIZE, images.shape[-1] // PATCH_SIZE)
    tokens = hooked_stages(model, images, modules)
    return {stage: tokens[stage][:, 1:].transpose(1, 2).unflatten(2, grid) for stage in stages}


def _timm_stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    return block_maps(model, images, "blocks.{}", len(model.blocks))  # type: ignore[arg-type]


def _torchvision_stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    num_blocks = len(model.get_submodule("encoder.layers"))  # type: ignore[arg-type]
    return block_maps(model, images, "encoder.layers.encoder_layer_{}", num_blocks)


TORCHVISION_VIT_TARGET = Target(
    name="torchvision",
    suffix="torchvision.safetensors",
    packages=("torchvision", "safetensors"),
    rename=rename_torchvision,
    dropped_because="nothing is dropped",
    default_settings=torchvision_settings,
    preprocessing_settings=("colour_order", "mean", "std"),
    write=plain.write,
    load=load_torchvision,
    stages=_torchvision_stages,
    image_shapes=ONE_SIZE,  # it takes no other
    double=True,
)
TIMM_VIT_TARGET = Target(
    name="timm",
    suffix="timm.safetensors",
    packages=("timm", "safetensors"),
    rename=lambda key: key,
    dropped_because="nothing is dropped",
    default_settings=timm_settings,
    preprocessing_settings=("colour_order", "mean", "std"),
    write=plain.write,
    load=load_timm,
    stages=_timm_stages,
    image_shapes=VIT_IMAGES,
)
