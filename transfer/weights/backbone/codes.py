"""The codes that write known networks under known wrappers, by the marks that they leave; each is read by one rule.

What that rule is stands in :mod:`transfer.weights.backbone.generic`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transfer.weights.backbone.marks import has_any
from transfer.weights.backbone.types import IMAGENET, Checkpoint, Preprocessing


@dataclass(frozen=True, kw_only=True)
class Code:
    """One code.

    Attributes:
        name: what records and messages call it.
        wrote: whether it wrote this checkpoint, in which this state dict holds the network.
        preprocessing: of every network that it trains; None where that is the network's, or the user's choice.
        preprocessing_entry: see :class:`transfer.weights.backbone.types.Source`.
    """

    name: str
    wrote: Callable[[Checkpoint, Mapping[str, Any]], bool]
    preprocessing: Preprocessing | None = None
    preprocessing_entry: str | None = None


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


def elsewhere(checkpoint: Checkpoint) -> str | None:
    """Why the weights are not in this file, and how to get them into one; None where they may be.

    github.com/microsoft/DeepSpeed: utils/zero_to_fp32.py; github.com/facebookresearch/dinov2: fsdp/__init__.py.
    """
    for state in (checkpoint, *checkpoint.values()):
        if isinstance(state, Mapping) and any(str(key).endswith("flat_param") for key in state):
            return (
                "holds one rank's part of a sharded save (FSDP's flat parameters): gather it where it was trained "
                "(StateDictType.FULL_STATE_DICT), or give the teacher_checkpoint.pth that DINOv2 writes to evaluate it"
            )
    module = checkpoint.get("module")
    sizes = [getattr(value, "numel", lambda: 1)() for value in module.values()] if isinstance(module, Mapping) else []
    if sizes and "ds_version" in checkpoint and sum(size == 0 for size in sizes) > len(sizes) // 2:
        return (
            "is DeepSpeed's with ZeRO-3, whose weights are in the files of the ranks beside it: run the "
            "zero_to_fp32.py that is in its folder, and give what it writes"
        )
    return None
