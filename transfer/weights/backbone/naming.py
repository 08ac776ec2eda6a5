"""Other libraries' names of the same tensors, as tables: each row is ours (torchvision's or timm's) and theirs.

``{n}`` and ``{m}`` stand for numbers, ``{p}`` for the rest of the name. A table reads in both directions: sources are
renamed to ours, targets from ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

NamePair = tuple[str, str]


@dataclass(frozen=True)
class Naming:
    """A key table.

    Attributes:
        rows: our template, their template; where two rows fit, the first one counts.
    """

    rows: Sequence[NamePair]

    def theirs(self, key: str) -> str | None:
        """Our key in their words; None where no row fits."""
        return _rename(key, self.rows)

    def ours(self, key: str) -> str:
        """Their key in our words; as it is where no row fits, so that it is refused under the name that it has."""
        return _rename(key, [(theirs, ours) for ours, theirs in self.rows]) or key


def _rename(key: str, rows: Sequence[NamePair]) -> str | None:
    for pattern, template in rows:
        expression = re.sub(r"\\{([nm])\\}", r"(?P<\1>\\d+)", re.escape(pattern)).replace(r"\{p\}", r"(?P<p>.+)")
        if match := re.fullmatch(expression, key):
            return template.format(**match.groupdict())
    return None


# torch.nn.Sequential(*resnet.children()): 0 conv1, 1 bn1, 2 ReLU, 3 max pooling, 4 to 7 layer1 to layer4
SEQUENTIAL_RESNET = Naming(
    (("conv1.{p}", "0.{p}"), ("bn1.{p}", "1.{p}"), *((f"layer{n}.{{p}}", f"{n + 3}.{{p}}") for n in range(1, 5)))
)

# Detectron2's own tool for torchvision's weights (tools/convert-torchvision-to-d2.py)
DETECTRON2_RESNET = Naming(
    (
        ("conv1.{p}", "stem.conv1.{p}"),
        ("bn1.{p}", "stem.conv1.norm.{p}"),
        *(
            (f"layer{layer}.{{n}}.{ours}.{{p}}", f"res{layer + 1}.{{n}}.{theirs}.{{p}}")
            for layer in range(1, 5)
            for ours, theirs in (
                ("conv{m}", "conv{m}"),
                ("bn{m}", "conv{m}.norm"),
                ("downsample.0", "shortcut"),
                ("downsample.1", "shortcut.norm"),
            )
        ),
    )
)

_OPENMMLAB_VIT: tuple[NamePair, ...] = (
    ("cls_token", "cls_token"),
    ("pos_embed", "pos_embed"),
    ("patch_embed.proj.{p}", "patch_embed.projection.{p}"),
    ("blocks.{n}.norm1.{p}", "layers.{n}.ln1.{p}"),
    ("blocks.{n}.norm2.{p}", "layers.{n}.ln2.{p}"),
    ("blocks.{n}.mlp.fc1.{p}", "layers.{n}.ffn.layers.0.0.{p}"),
    ("blocks.{n}.mlp.fc2.{p}", "layers.{n}.ffn.layers.1.{p}"),
    ("norm.{p}", "ln1.{p}"),
)

# mmpretrain/models/backbones/vision_transformer.py: its own attention, with timm's names
MMPRETRAIN_VIT = Naming(
    (
        *_OPENMMLAB_VIT,
        ("blocks.{n}.attn.qkv.{p}", "layers.{n}.attn.qkv.{p}"),
        ("blocks.{n}.attn.proj.{p}", "layers.{n}.attn.proj.{p}"),
    )
)

# mmseg/models/backbones/vit.py: mmcv's wrapper around torch.nn.MultiheadAttention
MMSEG_VIT = Naming(
    (
        *_OPENMMLAB_VIT,
        ("blocks.{n}.attn.qkv.{p}", "layers.{n}.attn.attn.in_proj_{p}"),
        ("blocks.{n}.attn.proj.{p}", "layers.{n}.attn.attn.out_proj.{p}"),
    )
)

_BLOCK = "encoder.layers.encoder_layer_{n}"

# torchvision/models/vision_transformer.py; its files from before 0.14 say linear_1 and linear_2 for mlp.0 and mlp.3
TORCHVISION_VIT = Naming(
    (
        ("cls_token", "class_token"),
        ("pos_embed", "encoder.pos_embedding"),
        ("patch_embed.proj.{p}", "conv_proj.{p}"),
        ("blocks.{n}.norm1.{p}", _BLOCK + ".ln_1.{p}"),
        ("blocks.{n}.attn.qkv.{p}", _BLOCK + ".self_attention.in_proj_{p}"),
        ("blocks.{n}.attn.proj.{p}", _BLOCK + ".self_attention.out_proj.{p}"),
        ("blocks.{n}.norm2.{p}", _BLOCK + ".ln_2.{p}"),
        ("blocks.{n}.mlp.fc1.{p}", _BLOCK + ".mlp.0.{p}"),
        ("blocks.{n}.mlp.fc2.{p}", _BLOCK + ".mlp.3.{p}"),
        ("blocks.{n}.mlp.fc1.{p}", _BLOCK + ".mlp.linear_1.{p}"),
        ("blocks.{n}.mlp.fc2.{p}", _BLOCK + ".mlp.linear_2.{p}"),
        ("norm.{p}", "encoder.ln.{p}"),
    )
)

# mmpretrain/models/backbones/swin_transformer.py (mmseg's and mmdet's too): the last norm is that of the last map
OPENMMLAB_SWIN = Naming(
    (
        ("patch_embed.proj.{p}", "patch_embed.projection.{p}"),
        *((f"layers.{n + 1}.downsample.{{p}}", f"stages.{n}.downsample.{{p}}") for n in range(3)),
        ("layers.{n}.blocks.{m}.attn.{p}", "stages.{n}.blocks.{m}.attn.w_msa.{p}"),
        ("layers.{n}.blocks.{m}.mlp.fc1.{p}", "stages.{n}.blocks.{m}.ffn.layers.0.0.{p}"),
        ("layers.{n}.blocks.{m}.mlp.fc2.{p}", "stages.{n}.blocks.{m}.ffn.layers.1.{p}"),
        ("layers.{n}.blocks.{m}.{p}", "stages.{n}.blocks.{m}.{p}"),
        ("norm.{p}", "norm3.{p}"),
    )
)


def _convnext(depthwise: str, pointwise: str, last_norm: str) -> Naming:
    return Naming(
        (
            ("stem.{p}", "downsample_layers.0.{p}"),
            ("stages.{n}.downsample.{p}", "downsample_layers.{n}.{p}"),
            ("stages.{n}.blocks.{m}.conv_dw.{p}", f"stages.{{n}}.{{m}}.{depthwise}.{{p}}"),
            ("stages.{n}.blocks.{m}.mlp.fc1.{p}", f"stages.{{n}}.{{m}}.{pointwise}1.{{p}}"),
            ("stages.{n}.blocks.{m}.mlp.fc2.{p}", f"stages.{{n}}.{{m}}.{pointwise}2.{{p}}"),
            ("stages.{n}.blocks.{m}.mlp.grn.weight", "stages.{n}.{m}.grn.gamma"),
            ("stages.{n}.blocks.{m}.mlp.grn.bias", "stages.{n}.{m}.grn.beta"),
            ("stages.{n}.blocks.{m}.{p}", "stages.{n}.{m}.{p}"),
            ("head.norm.{p}", f"{last_norm}.{{p}}"),
        )
    )


# Original codes to timm's names, as timm's checkpoint_filter_fn of each network has them ----------------------------

# github.com/facebookresearch/dinov2: vision_transformer.py (blocks in chunks: BlockChunk), layers/swiglu_ffn.py
DINOV2 = Naming(
    (
        ("reg_token", "register_tokens"),
        *(
            ("blocks.{n}." + ours, beginning + theirs)
            for ours, theirs in (("mlp.fc1.{p}", "mlp.w12.{p}"), ("mlp.fc2.{p}", "mlp.w3.{p}"), ("{p}", "{p}"))
            for beginning in ("blocks.{m}.{n}.", "blocks.{n}.")
        ),
    )
)

# github.com/facebookresearch/dinov3: vision_transformer.py, layers/ffn_layers.py
DINOV3 = Naming(
    (
        ("reg_token", "storage_tokens"),
        ("blocks.{n}.gamma_{m}", "blocks.{n}.ls{m}.gamma"),
        ("blocks.{n}.mlp.fc1_g.{p}", "blocks.{n}.mlp.w1.{p}"),
        ("blocks.{n}.mlp.fc1_x.{p}", "blocks.{n}.mlp.w2.{p}"),
        ("blocks.{n}.mlp.fc2.{p}", "blocks.{n}.mlp.w3.{p}"),
    )
)

# github.com/openai/CLIP: clip/model.py; github.com/mlfoundations/open_clip: src/open_clip/transformer.py
CLIP = Naming(
    (
        ("cls_token", "class_embedding"),
        ("pos_embed", "positional_embedding"),
        ("patch_embed.proj.{p}", "conv1.{p}"),
        ("norm_pre.{p}", "ln_pre.{p}"),
        ("norm.{p}", "ln_post.{p}"),
        ("blocks.{n}.norm{m}.{p}", "transformer.resblocks.{n}.ln_{m}.{p}"),
        ("blocks.{n}.attn.qkv.{p}", "transformer.resblocks.{n}.attn.in_proj_{p}"),
        ("blocks.{n}.attn.proj.{p}", "transformer.resblocks.{n}.attn.out_proj.{p}"),
        ("blocks.{n}.mlp.fc1.{p}", "transformer.resblocks.{n}.mlp.c_fc.{p}"),
        ("blocks.{n}.mlp.fc2.{p}", "transformer.resblocks.{n}.mlp.c_proj.{p}"),
    )
)

# github.com/microsoft/Swin-Transformer: swin_transformer.py halves the map at the end of a stage, timm at the beginning
SWIN = Naming(tuple((f"layers.{n + 1}.downsample.{{p}}", f"layers.{n}.downsample.{{p}}") for n in range(3)))

# github.com/facebookresearch/ConvNeXt: models/convnext.py; ConvNeXt-V2: models/convnextv2.py
CONVNEXT = _convnext("dwconv", "pwconv", "norm")

# mmpretrain/models/backbones/convnext.py, of both versions
OPENMMLAB_CONVNEXT = _convnext("depthwise_conv", "pointwise_conv", "norm3")
