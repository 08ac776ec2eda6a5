"""Which of timm's networks a set of tensors is: one whose keys and shapes are exactly these, of the tables below.

The tables are looked up by the width and the number of blocks; the shapes themselves are timm's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from transfer.weights.backbone.timm_network import Variant, shapes_of

Shape = tuple[int, ...]
Table = dict[tuple[int, ...], str]

# the first key that is there is the family's, and its last size the width
FAMILIES = ("bn1.weight", "pos_embed", "cls_token", "patch_embed.norm.weight", "stem.1.weight")

RESNETS: Table = {
    (64, 2, 2, 2, 2): "resnet18d",
    (64, 3, 4, 6, 3): "resnext50_32x4d wide_resnet50_2 resnet50d resnetaa50d resnetblur50d resnet50c resnet50s "
    "resnet50t resnext50d_32x4d resnet34d resnetaa34d",
    (64, 3, 4, 23, 3): "resnext101_32x4d resnext101_32x8d resnext101_64x4d resnext101_32x16d wide_resnet101_2 "
    "resnet101d resnetaa101d resnetblur101d resnet101c resnet101s",
    (64, 3, 8, 36, 3): "resnet152 resnet152d resnet152c resnet152s",
    (64, 3, 24, 36, 3): "resnet200 resnet200d",
}
VITS: Table = {
    (192, 12): "vit_tiny_patch16_224 vit_tiny_patch16_384 deit_tiny_distilled_patch16_224",
    (384, 12): "vit_small_patch8_224 vit_small_patch16_384 vit_small_patch32_224 deit_small_distilled_patch16_224 "
    "deit3_small_patch16_224 vit_small_patch14_dinov2 vit_small_patch14_reg4_dinov2",
    (768, 12): "vit_base_patch8_224 vit_base_patch16_384 vit_base_patch32_224 deit_base_distilled_patch16_224 "
    "deit3_base_patch16_224 vit_base_patch14_dinov2 vit_base_patch14_reg4_dinov2 vit_base_patch16_gap_224 "
    "vit_base_patch16_clip_224 vit_base_patch16_clip_quickgelu_224 vit_base_patch32_clip_224 "
    "vit_base_patch32_clip_quickgelu_224",
    (1024, 24): "vit_large_patch16_224 vit_large_patch16_384 vit_large_patch14_224 deit3_large_patch16_224 "
    "vit_large_patch14_dinov2 vit_large_patch14_reg4_dinov2 vit_large_patch14_clip_224 "
    "vit_large_patch14_clip_quickgelu_224 vit_large_patch14_clip_336 vit_large_patch14_clip_quickgelu_336",
    (1280, 32): "vit_huge_patch14_224 deit3_huge_patch14_224 vit_huge_patch14_gap_224 vit_huge_patch16_gap_448",
    (1408, 40): "vit_giant_patch16_gap_224",
    (1536, 40): "vit_giant_patch14_dinov2 vit_giant_patch14_reg4_dinov2",
}
EVAS: Table = {  # no table of absolute positions
    (384, 12): "vit_small_patch16_dinov3_qkvb vit_small_plus_patch16_dinov3_qkvb vit_small_patch16_dinov3 "
    "vit_small_plus_patch16_dinov3",
    (768, 12): "vit_base_patch16_dinov3_qkvb vit_base_patch16_dinov3 beit_base_patch16_224 beit_base_patch16_384",
    (1024, 24): "vit_large_patch16_dinov3_qkvb vit_large_patch16_dinov3 beit_large_patch16_224 beit_large_patch16_384",
    (1280, 32): "vit_huge_plus_patch16_dinov3_qkvb vit_huge_plus_patch16_dinov3",
    (4096, 40): "vit_7b_patch16_dinov3",
}
SWINS: Table = {
    (96, 2, 2, 6, 2): "swin_tiny_patch4_window7_224 swin_s3_tiny_224 swinv2_tiny_window8_256 swinv2_tiny_window16_256",
    (96, 2, 2, 18, 2): "swin_small_patch4_window7_224 swin_s3_small_224 swinv2_small_window8_256 "
    "swinv2_small_window16_256",
    (128, 2, 2, 18, 2): "swin_base_patch4_window7_224 swin_base_patch4_window12_384 swinv2_base_window8_256 "
    "swinv2_base_window16_256 swinv2_base_window12_192",
    (192, 2, 2, 18, 2): "swin_large_patch4_window7_224 swin_large_patch4_window12_384 swinv2_large_window12_192",
}
CONVNEXTS: Table = {
    (40, 2, 2, 6, 2): "convnext_atto convnextv2_atto",
    (48, 2, 2, 6, 2): "convnext_femto convnextv2_femto",
    (64, 2, 2, 6, 2): "convnext_pico convnextv2_pico",
    (80, 2, 2, 8, 2): "convnext_nano convnextv2_nano",
    (96, 3, 3, 9, 3): "convnext_tiny convnextv2_tiny",
    (96, 3, 3, 27, 3): "convnext_small convnextv2_small",
    (128, 3, 3, 27, 3): "convnext_base convnextv2_base",
    (192, 3, 3, 27, 3): "convnext_large convnextv2_large",
    (256, 3, 3, 27, 3): "convnext_xlarge",
    (352, 3, 3, 27, 3): "convnextv2_huge",
}
TABLES = (RESNETS, VITS, EVAS, SWINS, CONVNEXTS)
BLOCK = re.compile(r"(layer\d|layers\.\d|stages\.\d|blocks)\.(?:blocks\.)?(\d+)\.")


def same_in_timm(shapes: Mapping[str, Shape]) -> list[str]:
    """timm's names of the networks that have exactly these keys and shapes, batch counters aside."""
    positions = shapes["pos_embed"][1] if len(shapes.get("pos_embed", ())) == 3 else None
    names = [name for name in _of_this_size(shapes) if _may_have(name, positions)]
    return [name for name in names if same(shapes, shapes_of(name))]


def resized_in_timm(shapes: Mapping[str, Shape]) -> str | None:
    """A ViT of the tables with patches of another size, or a position embedding for other images; None if none has
    these shapes. CLIP's are left out: two of each size differ in their activation."""
    patch, positions = shapes.get("patch_embed.proj.weight", ()), shapes.get("pos_embed", ())
    if len(patch) != 4 or patch[2] != patch[3] or len(positions) != 3:
        return None
    of_this_patch_first = sorted(_of_this_size(shapes), key=lambda name: f"patch{patch[3]}_" not in f"{name}_")
    for name in of_this_patch_first:
        theirs = shapes_of(name)
        own = re.search(r"patch(\d+)", name)
        tokens = theirs["pos_embed"][1] - math.isqrt(theirs["pos_embed"][1]) ** 2  # that have a position: 0, 1 or 2
        grid = math.isqrt(positions[1] - tokens)
        if own is None or "clip" in name or grid == 0 or grid**2 != positions[1] - tokens:
            continue
        patch_size = patch[3] if int(own[1]) != patch[3] else None
        resized = Variant(name, image_size=grid * patch[3], patch_size=patch_size).name
        if theirs.keys() == shapes.keys() and same(shapes, shapes_of(resized)):
            return resized
    return None


def nearest_in_timm(shapes: Mapping[str, Shape]) -> str | None:
    """For a message: the network of as many blocks and this width that differs least, and in what; None if none has."""
    differences = {
        name: [key for key in {**shapes_of(name), **shapes} if shapes.get(key) != shapes_of(name).get(key)]
        for name in _of_this_size(shapes)
    }
    if not differences:
        return None
    name = min(differences, key=lambda each: len(differences[each]))
    key, theirs = differences[name][0], shapes_of(name)
    if key in shapes and key in theirs:
        return f"{name}, whose {key} has shape {list(theirs[key])} instead of {list(shapes[key])}"
    return f"{name}, which has {'no' if key in shapes else 'also'} {key}"


def _of_this_size(shapes: Mapping[str, Shape]) -> list[str]:
    family = next((key for key in FAMILIES if shapes.get(key)), None)
    if family is None:
        return []
    sizes: tuple[int, ...] = (shapes[family][-1], *_blocks(shapes))
    return TABLES[FAMILIES.index(family)].get(sizes, "").split()


def same(shapes: Mapping[str, Shape], others: Mapping[str, Shape]) -> bool:
    """Whether both have the same keys and shapes; batch counters may be missing."""
    one, other = (
        {key: shape for key, shape in each.items() if not key.endswith("num_batches_tracked")}
        for each in (shapes, others)
    )
    return one == other


def _may_have(name: str, positions: int | None) -> bool:
    """Whether a ViT of this name has so many positions, so that only few networks have to be built."""
    import timm

    patch, config = re.search(r"patch(\d+)", name), timm.get_pretrained_cfg(name)
    if positions is None or patch is None or config is None:
        return True
    num_patches = (config.input_size[1] // int(patch[1])) ** 2
    return num_patches <= positions <= num_patches + 2  # without and with a class token, and one of distillation


def _blocks(keys: Iterable[str]) -> tuple[int, ...]:
    """The number of blocks in each stage."""
    blocks = {match.groups() for key in keys if (match := BLOCK.match(key))}
    stages = sorted({stage for stage, _ in blocks})
    return tuple(sum(stage == wanted for stage, _ in blocks) for wanted in stages)
