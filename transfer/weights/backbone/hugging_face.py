"""Checkpoints of Hugging Face's transformers: their keys as tables, their tensors as torchvision and timm have them.

The names are those that ``save_pretrained`` writes (github.com/huggingface/transformers, src/transformers/models;
release 5.24 writes what 4 did): vit/modeling_vit.py, vit_mae/modeling_vit_mae.py, dinov2/modeling_dinov2.py,
dinov2_with_registers/modeling_dinov2_with_registers.py, dinov3_vit/modeling_dinov3_vit.py,
dinov3_convnext/modeling_dinov3_convnext.py, resnet/modeling_resnet.py, convnext/modeling_convnext.py and
swin/modeling_swin.py. A bare model has these names; a model for a task has them behind the model's own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from transfer.weights.backbone.families import BUFFER
from transfer.weights.backbone.marks import CLASSIFIER
from transfer.weights.backbone.naming import NamePair, Naming
from transfer.weights.backbone.types import Checkpoint, Network, Source

if TYPE_CHECKING:
    from torch import Tensor

# where training codes put the model's state dict, and what they put before its keys
ENTRIES = (None, "state_dict", "model", "module", "model_state_dict")
WRAPPERS = ("module", "_orig_mod", "model", "backbone")
TASK_HEADS = {"classifier.": CLASSIFIER, "decoder.": "decoder"}
OF_NO_FEATURE = {
    "pooler.": "pooler",  # of ViTModel: a layer after the class token's feature
    "embeddings.mask_token": "mask token",
}
INDEX_OF_WINDOW = "relative_position_index"  # Swin's, computed from the window's size; saved before transformers 4.31

_ATTENTION: tuple[NamePair, ...] = tuple(
    (f"blocks.{{n}}.attn.{ours}.{{p}}", f"encoder.layer.{{n}}.attention.{theirs}.{{p}}")
    for ours, theirs in (
        *((name[0], f"attention.{name}") for name in ("query", "key", "value")),
        ("proj", "output.dense"),
    )
)
_EMBEDDINGS: tuple[NamePair, ...] = (
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("reg_token", "embeddings.register_tokens"),
    ("patch_embed.proj.{p}", "embeddings.patch_embeddings.projection.{p}"),
    ("norm.{p}", "layernorm.{p}"),
)
_VIT = Naming(
    (
        *_EMBEDDINGS,
        *_ATTENTION,
        ("blocks.{n}.norm1.{p}", "encoder.layer.{n}.layernorm_before.{p}"),
        ("blocks.{n}.norm2.{p}", "encoder.layer.{n}.layernorm_after.{p}"),
        ("blocks.{n}.mlp.fc1.{p}", "encoder.layer.{n}.intermediate.dense.{p}"),
        ("blocks.{n}.mlp.fc2.{p}", "encoder.layer.{n}.output.dense.{p}"),
    )
)
_DINOV2 = Naming(
    (
        *_EMBEDDINGS,
        *_ATTENTION,
        ("blocks.{n}.ls{m}.gamma", "encoder.layer.{n}.layer_scale{m}.lambda1"),
        ("blocks.{n}.norm{m}.{p}", "encoder.layer.{n}.norm{m}.{p}"),
        # the giant's SwiGLU: in both, the first half of what comes in is the gate
        ("blocks.{n}.mlp.fc1.{p}", "encoder.layer.{n}.mlp.weights_in.{p}"),
        ("blocks.{n}.mlp.fc2.{p}", "encoder.layer.{n}.mlp.weights_out.{p}"),
        ("blocks.{n}.mlp.fc{m}.{p}", "encoder.layer.{n}.mlp.fc{m}.{p}"),
    )
)
_DINOV3: tuple[NamePair, ...] = (
    ("cls_token", "embeddings.cls_token"),
    ("reg_token", "embeddings.register_tokens"),
    ("patch_embed.proj.{p}", "embeddings.patch_embeddings.{p}"),
    ("norm.{p}", "norm.{p}"),
    ("blocks.{n}.gamma_{m}", "layer.{n}.layer_scale{m}.lambda1"),
    ("blocks.{n}.norm{m}.{p}", "layer.{n}.norm{m}.{p}"),
    # timm/models/eva.py: keys have no bias, and those of queries and values are parameters of their own
    ("blocks.{n}.attn.q_bias", "layer.{n}.attention.q_proj.bias"),
    ("blocks.{n}.attn.v_bias", "layer.{n}.attention.v_proj.bias"),
    *((f"blocks.{{n}}.attn.{name}.{{p}}", f"layer.{{n}}.attention.{name}_proj.{{p}}") for name in "qkv"),
    ("blocks.{n}.attn.proj.{p}", "layer.{n}.attention.o_proj.{p}"),
    ("blocks.{n}.mlp.fc2.{p}", "layer.{n}.mlp.down_proj.{p}"),
)
_DINOV3_PLAIN = Naming((*_DINOV3, ("blocks.{n}.mlp.fc1.{p}", "layer.{n}.mlp.up_proj.{p}")))
_DINOV3_GATED = Naming(
    (
        *_DINOV3,
        ("blocks.{n}.mlp.fc1_g.{p}", "layer.{n}.mlp.gate_proj.{p}"),
        ("blocks.{n}.mlp.fc1_x.{p}", "layer.{n}.mlp.up_proj.{p}"),
    )
)
_RESNET = Naming(
    (
        ("conv1.{p}", "embedder.embedder.convolution.{p}"),
        ("bn1.{p}", "embedder.embedder.normalization.{p}"),
        *(
            (f"layer{stage + 1}.{{n}}.{ours}.{{p}}", f"encoder.stages.{stage}.layers.{{n}}.{theirs}.{{p}}")
            for stage in range(4)
            for ours, theirs in (
                ("downsample.0", "shortcut.convolution"),
                ("downsample.1", "shortcut.normalization"),
                *((f"conv{index + 1}", f"layer.{index}.convolution") for index in range(3)),
                *((f"bn{index + 1}", f"layer.{index}.normalization") for index in range(3)),
            )
        ),
    )
)
_CONVNEXT = Naming(
    (
        ("stem.0.{p}", "embeddings.patch_embeddings.{p}"),
        ("stem.1.{p}", "embeddings.layernorm.{p}"),
        ("stages.{n}.downsample.{m}.{p}", "encoder.stages.{n}.downsampling_layer.{m}.{p}"),
        ("stages.{n}.blocks.{m}.gamma", "encoder.stages.{n}.layers.{m}.layer_scale_parameter"),
        ("stages.{n}.blocks.{m}.conv_dw.{p}", "encoder.stages.{n}.layers.{m}.dwconv.{p}"),
        ("stages.{n}.blocks.{m}.norm.{p}", "encoder.stages.{n}.layers.{m}.layernorm.{p}"),
        ("stages.{n}.blocks.{m}.mlp.fc1.{p}", "encoder.stages.{n}.layers.{m}.pwconv1.{p}"),
        ("stages.{n}.blocks.{m}.mlp.fc2.{p}", "encoder.stages.{n}.layers.{m}.pwconv2.{p}"),
        ("head.norm.{p}", "layernorm.{p}"),
    )
)
_DINOV3_CONVNEXT = Naming(
    (
        ("stem.{m}.{p}", "stages.0.downsample_layers.{m}.{p}"),
        ("stages.{n}.downsample.{m}.{p}", "stages.{n}.downsample_layers.{m}.{p}"),
        ("stages.{n}.blocks.{m}.gamma", "stages.{n}.layers.{m}.gamma"),
        ("stages.{n}.blocks.{m}.conv_dw.{p}", "stages.{n}.layers.{m}.depthwise_conv.{p}"),
        ("stages.{n}.blocks.{m}.norm.{p}", "stages.{n}.layers.{m}.layer_norm.{p}"),
        ("stages.{n}.blocks.{m}.mlp.fc1.{p}", "stages.{n}.layers.{m}.pointwise_conv1.{p}"),
        ("stages.{n}.blocks.{m}.mlp.fc2.{p}", "stages.{n}.layers.{m}.pointwise_conv2.{p}"),
        ("head.norm.{p}", "layer_norm.{p}"),
    )
)
_SWIN_BLOCK = "encoder.layers.{n}.blocks.{m}"
_SWIN = Naming(
    (
        ("patch_embed.proj.{p}", "embeddings.patch_embeddings.projection.{p}"),
        ("patch_embed.norm.{p}", "embeddings.norm.{p}"),
        ("layers.{n}.blocks.{m}.norm1.{p}", _SWIN_BLOCK + ".layernorm_before.{p}"),
        ("layers.{n}.blocks.{m}.norm2.{p}", _SWIN_BLOCK + ".layernorm_after.{p}"),
        *(
            (f"layers.{{n}}.blocks.{{m}}.attn.{name[0]}.{{p}}", f"{_SWIN_BLOCK}.attention.self.{name}.{{p}}")
            for name in ("query", "key", "value")
        ),
        (
            "layers.{n}.blocks.{m}.attn.relative_position_bias_table",
            _SWIN_BLOCK + ".attention.self.relative_position_bias_table",
        ),
        ("layers.{n}.blocks.{m}.attn.proj.{p}", _SWIN_BLOCK + ".attention.output.dense.{p}"),
        ("layers.{n}.blocks.{m}.mlp.fc1.{p}", _SWIN_BLOCK + ".intermediate.dense.{p}"),
        ("layers.{n}.blocks.{m}.mlp.fc2.{p}", _SWIN_BLOCK + ".output.dense.{p}"),
        # theirs ends a stage with it, timm's begins the next one with it
        *((f"layers.{n + 1}.downsample.{{p}}", f"encoder.layers.{n}.downsample.{{p}}") for n in range(3)),
        ("norm.{p}", "layernorm.{p}"),
    )
)


@dataclass(frozen=True)
class Family:
    """Networks of one key table.

    Attributes:
        name: as messages have it.
        own_names: what stands before the keys in a model for a task (transformers' ``base_model_prefix``).
        marks: keys that every checkpoint of it has.
        naming: our keys and theirs.
        shows_all: whether keys and shapes say all that the network is; else a config has to, or the user.
    """

    name: str
    own_names: tuple[str, ...]
    marks: tuple[str, ...]
    naming: Naming
    shows_all: bool = False


FAMILIES = (
    Family("ViT", ("vit",), ("embeddings.cls_token", "encoder.layer.0.layernorm_before.weight"), _VIT),
    Family("DINOv2", ("dinov2", "dinov2_with_registers"), ("encoder.layer.0.layer_scale1.lambda1",), _DINOV2),
    Family(
        "DINOv3", ("dinov3_vit",), ("layer.0.attention.q_proj.weight", "layer.0.mlp.gate_proj.weight"), _DINOV3_GATED
    ),
    Family("DINOv3", ("dinov3_vit",), ("layer.0.attention.q_proj.weight",), _DINOV3_PLAIN),
    Family("ResNet", ("resnet",), ("embedder.embedder.convolution.weight",), _RESNET, shows_all=True),
    Family("ConvNeXt", ("convnext",), ("encoder.stages.0.layers.0.dwconv.weight",), _CONVNEXT),
    Family("DINOv3 ConvNeXt", ("dinov3_convnext",), ("stages.0.layers.0.depthwise_conv.weight",), _DINOV3_CONVNEXT),
    Family("Swin", ("swin",), ("encoder.layers.0.blocks.0.attention.self.query.weight",), _SWIN),
)


def hugging_face_source(checkpoint: Checkpoint) -> Source | None:
    """The row of a checkpoint with one network of a family, as it is or as a training code wraps it; else None."""
    found = {
        (entry, prefix): family
        for entry in ENTRIES
        if isinstance(state := Network(entry=entry).state_of(checkpoint), Mapping)
        for family in reversed(FAMILIES)  # where two fit, the first one counts
        for prefix in _prefixes(state, family)
    }
    if len(found) != 1:
        return None
    ((entry, prefix), family) = found.popitem()
    state = Network(entry=entry).state_of(checkpoint)
    outside = re.sub(rf"({'|'.join(family.own_names)})\.$", "", prefix)
    return Source(
        name=f"Hugging Face {family.name}",
        recognise=lambda c: hugging_face_source(c) is not None,
        student=Network(entry=entry, prefix=prefix),
        dropped={
            **{outside + key: reason for key, reason in TASK_HEADS.items()},
            **{prefix + key: reason for key, reason in OF_NO_FEATURE.items()},
            **{str(key): BUFFER for key in state if str(key).endswith(f".{INDEX_OF_WINDOW}")},
        },
        naming=family.naming,
        values=_joined,
        preprocessing=None,
        ask_preprocessing="Hugging Face's networks differ in it",
        config="taken" if family.shows_all else "needed",
        published_alone=True,
    )


def _prefixes(state: Mapping[str, Any], family: Family) -> Iterator[str]:
    """What stands before the keys of a network of this family, where all that does is wrappers and its own name."""
    mark = family.marks[0]
    for key in map(str, state):
        prefix = key.removesuffix(mark)
        if key != prefix + mark or not re.fullmatch(r"(\w+\.)*", prefix):
            continue
        *words, last = ["", *prefix.split(".")[:-1]]
        is_known = set(words) <= {"", *WRAPPERS} and last in {"", *WRAPPERS, *family.own_names}
        if is_known and all(prefix + other in state for other in family.marks):
            yield prefix


def _joined(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """Queries, keys and values in one tensor, in this order, as timm has them; what is no whole three stays.

    With registers timm adds the position embedding to the patches alone, so that of the class token is added to the
    token itself (timm/models/vision_transformer.py: _convert_dinov2).
    """
    import torch

    joined = dict(state)
    for key in state:
        if (match := re.fullmatch(r"(.+\.attn)\.q\.(weight|bias)", key)) is None:
            continue
        names = [f"{match[1]}.{name}.{match[2]}" for name in "qkv"]
        parts = [part for name in names if _is_dense(part := joined.get(name)) and part.ndim]
        if len(parts) == 3 and len({part.shape[1:] for part in parts}) == 1:
            joined[f"{match[1]}.qkv.{match[2]}"] = torch.cat(parts)
            for name in names:
                del joined[name]
    position, token = joined.get("pos_embed"), joined.get("cls_token")
    if "reg_token" in joined and _is_dense(position) and _is_dense(token) and position.ndim == 3:
        first = position[:, :1]
        if first.shape == token.shape:
            joined |= {"cls_token": token.float() + first.float(), "pos_embed": position[:, 1:]}
    return joined


def _is_dense(value: object) -> TypeGuard[Tensor]:
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided and value.is_floating_point()
