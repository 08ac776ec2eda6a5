"""The codes that write known networks under known wrappers, by the marks that they leave; each is read by one rule.

What that rule is stands in :mod:`transfer.weights.backbone.generic`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.weights.backbone.marks import GAP_OF_TWELVE_HEADS, has_any
from transfer.weights.backbone.types import IMAGENET, Checkpoint, Preprocessing


@dataclass(frozen=True, kw_only=True)
class Code:
    """One code.

    Attributes:
        name: what records and messages call it.
        wrote: whether it wrote this checkpoint, in which this state dict holds the network.
        preprocessing: of every network that it trains; None where that is the network's, or the user's choice.
        preprocessing_entry: see :class:`transfer.weights.backbone.types.Source`.
        fixes_heads: whether no two of its networks differ in heads alone.
        archs: see :class:`transfer.weights.backbone.types.Source`.
    """

    name: str
    wrote: Callable[[Checkpoint, Mapping[str, Any]], bool]
    preprocessing: Preprocessing | None = None
    preprocessing_entry: str | None = None
    fixes_heads: bool = False
    archs: dict[str, str] = field(default_factory=dict)


CODES = (
    Code(
        # github.com/lightly-ai/lightly-train: _callbacks/checkpoint.py, _checkpoint.py; teacher_embedding_model is what
        # it exports (_methods/dino/dino.py)
        name="lightly-train",
        wrote=lambda checkpoint, state: "lightly_train" in checkpoint,
        preprocessing_entry="lightly_train/normalize_args",
    ),
    Code(
        name="solo-learn",  # github.com/vturrisi/solo-learn: solo/methods/base.py
        wrote=lambda checkpoint, state: (
            "pytorch-lightning_version" in checkpoint and has_any(state, "backbone.") and "classifier.weight" in state
        ),
    ),
    Code(
        # github.com/lightly-ai/lightly: models/modules/heads.py, whose heads all keep their layers in "layers"
        name="lightly",
        wrote=lambda checkpoint, state: (
            has_any(state, "projection_head.layers.") or has_any(state, "student_backbone.")
        ),
    ),
    Code(
        name="MSN",  # github.com/facebookresearch/msn: src/msn_train.py, src/deit.py, src/data_manager.py
        wrote=lambda checkpoint, state: {"target_encoder", "prototypes"} <= checkpoint.keys(),
        preprocessing=IMAGENET,
        fixes_heads=True,
    ),
    Code(
        # github.com/facebookresearch/ijepa: src/train.py, src/models/vision_transformer.py, src/transforms.py
        name="I-JEPA",
        wrote=lambda checkpoint, state: {"target_encoder", "predictor"} <= checkpoint.keys(),
        preprocessing=IMAGENET,
        fixes_heads=True,
        archs={"vit_base_patch16_gap_224": GAP_OF_TWELVE_HEADS},
    ),
    Code(
        name="VISSL",  # github.com/facebookresearch/vissl: extra_scripts/convert_vissl_to_torchvision.py
        wrote=lambda checkpoint, state: "classy_state_dict" in checkpoint,
    ),
    Code(
        name="DeepSpeed",  # github.com/microsoft/DeepSpeed: runtime/engine.py, mp_rank_00_model_states.pt
        wrote=lambda checkpoint, state: "module" in checkpoint and "ds_version" in checkpoint,
    ),
    Code(
        name="torch's AveragedModel",  # torch/optim/swa_utils.py
        wrote=lambda checkpoint, state: "n_averaged" in state and has_any(state, "module."),
    ),
    Code(
        name="timm's train.py",  # github.com/huggingface/pytorch-image-models: timm/utils/checkpoint_saver.py
        wrote=lambda checkpoint, state: {"state_dict", "arch", "version"} <= checkpoint.keys(),
    ),
    Code(
        name="torchvision's references",  # github.com/pytorch/vision: references/classification/train.py
        wrote=lambda checkpoint, state: (
            {"model", "lr_scheduler", "epoch", "args"} <= checkpoint.keys() and not has_any(state, "patch_embed.")
        ),
        preprocessing=IMAGENET,  # presets.py
    ),
    Code(
        name="DeiT's training",  # github.com/facebookresearch/deit: main.py
        wrote=lambda checkpoint, state: (
            {"model", "lr_scheduler", "epoch", "args"} <= checkpoint.keys() and has_any(state, "patch_embed.")
        ),
        preprocessing=IMAGENET,  # datasets.py
    ),
    Code(
        name="MAE",  # github.com/facebookresearch/mae: util/misc.py, models_mae.py
        wrote=lambda checkpoint, state: any("decoder_embed." in str(key) for key in state) and has_vit_blocks(state),
        preprocessing=IMAGENET,  # main_pretrain.py
    ),
)


def has_vit_blocks(state: Mapping[str, Any]) -> bool:
    """Keys of a ViT's blocks, under any prefix."""
    return any("blocks.0.attn.qkv." in str(key) for key in state)


def code_of(checkpoint: Checkpoint, state: Mapping[str, Any]) -> Code | None:
    """The first code whose marks are there."""
    return next((code for code in CODES if code.wrote(checkpoint, state)), None)
