"""The families of networks that are recognised under any wrapper: by keys that no other family has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from transfer.weights.backbone.marks import VIT_SCALES
from transfer.weights.backbone.naming import (
    CLIP,
    CONVNEXT,
    DINOV2,
    DINOV3,
    OPENMMLAB_CONVNEXT,
    OPENMMLAB_SWIN,
    SEQUENTIAL_RESNET,
    SWIN,
    TORCHVISION_VIT,
    Naming,
)
from transfer.weights.backbone.types import IMAGENET, Checkpoint, Network, Preprocessing, Source
from transfer.weights.backbone.values import (
    biases_apart,
    grn_flat,
    merged_by_columns,
    registers_apart,
    tables_apart,
    with_batch,
)

if TYPE_CHECKING:
    from torch import Tensor

BUFFER = "computed anew from the network's sizes"
DINOV3_SCALES = (
    "the web's weights take ImageNet's (0.485 0.456 0.406 and 0.229 0.224 0.225), the satellites' 0.430 0.411 0.296 "
    "and 0.213 0.156 0.143"  # github.com/facebookresearch/dinov3: README.md, image transforms
)
BEIT_SCALES = "BEiT's code takes 0.5 and 0.5, or ImageNet's with --imagenet_default_mean_and_std"  # microsoft/unilm
CLIP_SCALES = (  # github.com/openai/CLIP: clip/clip.py
    "most networks of this kind take ImageNet's, and CLIP's 0.48145466 0.4578275 0.40821073 and 0.26862954 0.26130258 "
    "0.27577711"
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks of one kind, as one code names their tensors.

    Attributes:
        name: what messages and records call it.
        first: the key by whose prefix the network is found.
        others: keys that have to be beside it.
        ending: the end of a key that has to be there; empty where there is none.
        naming, values: see :class:`transfer.weights.backbone.types.Source`.
        dropped: beginnings of keys to the reason, beside those that every family may have.
        beside: first words of keys that only this family may have beside it, to the reason.
        kept: beginnings of keys that are the network's, though others of their first word are a classifier's.
        buffers: ends of keys of what a network computes by itself.
        preprocessing, ask_preprocessing: see :class:`transfer.weights.backbone.types.Source`.
    """

    name: str
    first: str
    others: tuple[str, ...]
    ending: str = ""
    naming: Naming | None = None
    values: Callable[[dict[str, Tensor], str], dict[str, Tensor]] | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    ask_preprocessing: str = VIT_SCALES

    def is_in(self, state: Mapping[str, Any], prefix: str) -> bool:
        return all(prefix + key in state for key in (self.first, *self.others)) and (
            not self.ending or any(str(key).startswith(prefix) and str(key).endswith(self.ending) for key in state)
        )


_VIT = ("pos_embed", "patch_embed.proj.weight")
_NORMS_OF_MAPS = dict.fromkeys(("norm0.", "norm1.", "norm2."), "norm of a map for a framework's neck")

FAMILIES = (
    Family(
        name="DINOv2",  # github.com/facebookresearch/dinov2: models/vision_transformer.py
        first="mask_token",
        others=("cls_token", *_VIT),
        ending=".ls1.gamma",
        naming=DINOV2,
        values=registers_apart,
        preprocessing=IMAGENET,  # dinov2/data/transforms.py
    ),
    Family(
        name="DINOv3",  # github.com/facebookresearch/dinov3: models/vision_transformer.py, hub/backbones.py
        first="storage_tokens",
        others=("cls_token", "rope_embed.periods", "patch_embed.proj.weight"),
        naming=DINOV3,
        values=biases_apart,
        dropped={"local_cls_norm.": "norm of local crops, in training alone"},
        ask_preprocessing=DINOV3_SCALES,
    ),
    Family(
        name="BEiT",  # github.com/microsoft/unilm: beit/modeling_finetune.py, modeling_pretrain.py
        first="cls_token",
        others=("patch_embed.proj.weight", "blocks.0.gamma_1"),
        ending="relative_position_bias_table",
        values=tables_apart,
        dropped={"lm_head.": "head of the visual tokens"},
        buffers=("relative_position_index",),
        ask_preprocessing=BEIT_SCALES,
    ),
    Family(name="ViT", first="cls_token", others=_VIT),
    Family(name="ViT without class token", first="pos_embed", others=(_VIT[1], "blocks.0.attn.qkv.weight")),
    Family(
        name="DINOv3 in timm's names",
        first="reg_token",
        others=("cls_token", "patch_embed.proj.weight", "blocks.0.gamma_1"),
        ask_preprocessing=DINOV3_SCALES,
    ),
    Family(
        name="CLIP",
        first="class_embedding",
        others=("conv1.weight", "ln_pre.weight", "transformer.resblocks.0.attn.in_proj_weight"),
        naming=CLIP,
        values=with_batch,
        dropped={"proj": "projection"},
        beside={
            **dict.fromkeys(("transformer", "text", "token_embedding", "positional_embedding"), "CLIP's text"),
            **dict.fromkeys(("ln_final", "text_projection", "logit_scale", "logit_bias"), "CLIP's text"),
            **dict.fromkeys(("input_resolution", "context_length", "vocab_size"), "CLIP's sizes"),
        },
        kept=("transformer.", "positional_embedding"),
        ask_preprocessing=CLIP_SCALES,
    ),
    Family(
        name="ResNet",
        first="conv1.weight",
        others=("bn1.weight", "layer1.0.conv1.weight"),
        preprocessing=IMAGENET,
    ),
    Family(
        name="ResNet in torch.nn.Sequential",  # github.com/lightly-ai/lightly: examples, list(resnet.children())
        first="0.weight",
        others=("1.running_mean", "4.0.conv1.weight"),
        naming=SEQUENTIAL_RESNET,
        preprocessing=IMAGENET,
    ),
    Family(
        name="torchvision ViT",  # torchvision/models/vision_transformer.py
        first="class_token",
        others=("conv_proj.weight", "encoder.pos_embedding"),
        naming=TORCHVISION_VIT,
        preprocessing=IMAGENET,
    ),
    Family(
        name="ResNet with a deep stem",  # timm's resnet50d and the like
        first="conv1.0.weight",
        others=("bn1.weight", "layer1.0.conv1.weight"),
        preprocessing=IMAGENET,
    ),
    Family(
        name="Swin",  # github.com/microsoft/Swin-Transformer, EsViT, SimMIM: a stage's last layer halves the map
        first="patch_embed.norm.weight",
        others=("layers.0.blocks.0.attn.qkv.weight", "layers.0.downsample.reduction.weight"),
        naming=SWIN,
        buffers=("relative_position_index", "attn_mask", "relative_coords_table"),
        preprocessing=IMAGENET,  # data/build.py
    ),
    Family(
        name="OpenMMLab Swin",
        first="patch_embed.projection.weight",
        others=("stages.0.blocks.0.attn.w_msa.relative_position_bias_table",),
        naming=OPENMMLAB_SWIN,
        values=merged_by_columns,
        dropped=_NORMS_OF_MAPS,
        buffers=("relative_position_index", "attn_mask"),
        preprocessing=IMAGENET,  # configs/_base_/datasets/imagenet_bs64_swin_224.py
    ),
    Family(
        name="Swin in timm's names",
        first="patch_embed.norm.weight",
        others=("layers.0.blocks.0.attn.qkv.weight", "layers.1.downsample.reduction.weight"),
        buffers=("relative_position_index", "attn_mask"),
        preprocessing=IMAGENET,
    ),
    Family(
        name="ConvNeXt",  # github.com/facebookresearch/ConvNeXt: models/convnext.py; ConvNeXt-V2; DINOv3's
        first="downsample_layers.0.0.weight",
        others=("stages.0.0.dwconv.weight",),
        naming=CONVNEXT,
        values=grn_flat,
        dropped={"norms.": "the last norm once more"},  # dinov3/models/convnext.py
        preprocessing=IMAGENET,  # ConvNeXt's datasets.py, and DINOv3's README.md
    ),
    Family(
        name="OpenMMLab ConvNeXt",
        first="downsample_layers.0.0.weight",
        others=("stages.0.0.depthwise_conv.weight",),
        naming=OPENMMLAB_CONVNEXT,
        dropped=_NORMS_OF_MAPS,
        preprocessing=IMAGENET,  # configs/_base_/datasets/imagenet_bs64_swin_224.py
    ),
    Family(
        name="ConvNeXt in timm's names",
        first="stem.0.weight",
        others=("stages.0.blocks.0.conv_dw.weight",),
        kept=("head.norm.",),
        ask_preprocessing=CLIP_SCALES,
    ),
)
NETWORKS_FIRST = tuple(dict.fromkeys(family.first for family in FAMILIES))


def family_of(state: Mapping[str, Any], prefix: str) -> Family | None:
    """The first family whose keys are below this prefix."""
    return next((family for family in FAMILIES if family.is_in(state, prefix)), None)


def completed(source: Source, network: Network, checkpoint: Checkpoint) -> Source:
    """The row with what the family of its network says of names and values, where the row does not."""
    state = network.state_of(checkpoint)
    family = family_of(state, network.prefix) if source.naming is None else None
    if family is None:
        return source
    buffers = {str(key): BUFFER for key in state if family.buffers and str(key).endswith(family.buffers)}
    dropped = {network.prefix + beginning: reason for beginning, reason in family.dropped.items()}
    return replace(source, naming=family.naming, values=family.values, dropped=source.dropped | dropped | buffers)
