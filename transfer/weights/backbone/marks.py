"""What the rows of the table of layouts recognise checkpoints by, and what they say in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer.weights.backbone.types import Checkpoint

PROJECTION = "projection head"
CLASSIFIER = "classifier"

TWELVE_HEADS = "vit_small_patch16_224-12heads"
SIX_OR_TWELVE_HEADS = (
    f"DeiT-S has 6 attention heads and MoCo v3's ViT-S has 12 ({TWELVE_HEADS}), in tensors of the same shapes"
)
THREE_OR_TWELVE_HEADS = "DeiT-Ti has 3 attention heads and MAE-Lite's ViT-Tiny has 12, in tensors of the same shapes"
GAP_OF_TWELVE_HEADS = "vit_base_patch16_gap_224-12heads"
SIXTEEN_OR_TWELVE_HEADS = (
    f"timm's has 16 attention heads and I-JEPA's ViT-B has 12 ({GAP_OF_TWELVE_HEADS}), in tensors of the same shapes"
)
ASK_HEADS = {  # github.com/facebookresearch/moco-v3: vits.py; github.com/wangsr126/mae-lite: models_vit.py
    **dict.fromkeys(
        ("deit_small", "vit_small_patch16_384", "vit_small_patch8_224", "vit_small_patch32_224"), SIX_OR_TWELVE_HEADS
    ),
    "vit_base_patch16_gap_224": SIXTEEN_OR_TWELVE_HEADS,  # facebookresearch/ijepa: src/models/vision_transformer.py
    **dict.fromkeys(("vit_tiny_patch16_224", "vit_tiny_patch16_384"), THREE_OR_TWELVE_HEADS),
}
VIT_SCALES = "DeiT's, DINO's and MAE's ViTs are fed by ImageNet's mean and deviation, Google's (augreg) by 0.5 and 0.5"
SUPERVISED_OR_SIMCLR = (
    "a supervised network's images are scaled by ImageNet's mean and deviation (0.485 0.456 0.406 and 0.229 0.224 "
    "0.225), and those of SimCLR's converter not at all (0 0 0 and 1 1 1)"
)


def entry(checkpoint: Checkpoint, name: str) -> Mapping[str, Any]:
    """The mapping of this name, or an empty one."""
    held = checkpoint.get(name)
    return held if isinstance(held, Mapping) else {}


def is_ours(checkpoint: Checkpoint) -> bool:
    return checkpoint.get("format") == "twist-transfer" and checkpoint.get("version") == 1


def has_resnet(state: Checkpoint, prefix: str = "") -> bool:
    return all(prefix + key in state for key in ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight"))


def has_vit(state: Checkpoint, prefix: str = "") -> bool:
    """Without more than a class token: DINOv2 and MAE keep a mask token beside, told apart in ``families.py``."""
    here = all(prefix + key in state for key in ("cls_token", "pos_embed", "patch_embed.proj.weight"))
    return here and prefix + "mask_token" not in state


def has_any(state: Checkpoint, beginning: str) -> bool:
    return any(str(key).startswith(beginning) for key in state)


def args_arch(checkpoint: Checkpoint) -> str | None:
    """What DINO's command line calls the network: its ``vit_small`` has 6 heads (vision_transformer.py)."""
    args = checkpoint.get("args")
    name = args.get("arch") if isinstance(args, Mapping) else getattr(args, "arch", None)
    return {"vit_small": "deit_small", "deit_small": "deit_small"}.get(name) if isinstance(name, str) else None
