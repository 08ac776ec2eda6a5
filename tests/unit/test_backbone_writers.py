"""Files in the layouts that public training codes write: the right network out of each, or one sentence that helps."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import flat_state, prefixed
from tests.layouts import other, with_fc, with_head
from tests.unit.test_backbone_generic import in_sequence
from transfer.reading import NOTHING_SAID, Reading
from transfer.weights.backbone import IMAGENET, load_backbone
from transfer.weights.backbone.network import build_network
from twist_common.errors import UserError

State = dict[str, Any]
NUMBER = torch.zeros(1)
SAID = Reading(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
SIZED = "vit_small_patch14_dinov2-patch16-224px"
GAP = "vit_base_patch16_gap_224-12heads"


def save(checkpoint: Any, folder: Path) -> Path:
    torch.save(checkpoint, folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


def heads(*names: str) -> State:
    return {f"{name}.weight": NUMBER for name in names}


def both(one: str, two: str) -> Callable[[State], State]:
    """A network under one prefix, its moving average under another one."""
    return lambda state: prefixed(state, one) | prefixed(other(state), two)


def lightning(state_dict: State) -> State:
    return {"pytorch-lightning_version": "2.1.2", "state_dict": state_dict, "epoch": 1, "global_step": 9}


def msn(state: State) -> State:
    """github.com/facebookresearch/msn: src/msn_train.py."""
    encoders = {"encoder": prefixed(state, "module."), "target_encoder": prefixed(other(state), "module.")}
    return {**encoders, "prototypes": NUMBER, "opt": {}, "epoch": 800, "loss": 0.1, "temperature": 0.1}


def ijepa(state: State) -> State:
    """github.com/facebookresearch/ijepa: src/train.py."""
    predictor = prefixed({"mask_token": NUMBER, "predictor_embed.weight": NUMBER}, "module.")
    encoders = {"encoder": prefixed(state, "module."), "target_encoder": prefixed(other(state), "module.")}
    return {**encoders, "predictor": predictor, "opt": {}, "scaler": None, "epoch": 300, "world_size": 16}


def slotcon(state: State) -> State:
    """github.com/CVMI-Lab/SlotCon: models/slotcon.py."""
    more = heads("projector_q.mlp.0", "projector_k.mlp.0", "predictor_slot.mlp.0", "grouping_q.slot_embed")
    model = both("encoder_q.", "encoder_k.")(state) | more | {"center": NUMBER, "grouping_k.slot_embed.weight": NUMBER}
    return {"args": argparse.Namespace(arch="resnet18"), "model": prefixed(model, "module."), "epoch": 1}


def dinov2(state: State) -> State:
    """github.com/facebookresearch/dinov2: its default config has patches of 16 px and images of 224."""
    return {"teacher": prefixed({**state, "mask_token": torch.zeros(1, 384)}, "backbone.") | heads("dino_head.mlp.0")}


def timms_training(arch: str, state: State) -> State:
    """github.com/huggingface/pytorch-image-models: timm/utils/checkpoint_saver.py."""
    args = argparse.Namespace(model=arch, mean=None, std=None)
    return {"epoch": 1, "arch": arch, "state_dict": state, "optimizer": {}, "version": 2, "args": args}


def deit_training(state: State) -> State:
    args = argparse.Namespace(model="deit_small_patch16_224")
    return {"model": with_head(state), "optimizer": {}, "lr_scheduler": {}, "epoch": 1, "args": args}


def moco_v3(state: State) -> State:
    """github.com/facebookresearch/moco-v3: vits.py has 12 heads for the small one."""
    networks = both("module.base_encoder.", "module.momentum_encoder.")(state)
    return {"epoch": 300, "arch": "vit_small", "state_dict": networks | heads("module.predictor.0")}


ACCEPTED: dict[str, tuple[str, Callable[[State], Any], str]] = {
    # the network, its file, and which is taken by default
    "MSN": ("deit_small", msn, "teacher"),
    "I-JEPA": (GAP, ijepa, "teacher"),
    "MoCo v3 with 12 heads": ("vit_small_patch16_224-12heads", moco_v3, "student"),
    "DINOv2 of patches of 16 px": (SIZED, dinov2, "teacher"),
    "DINOv2 of images of 224 px": ("vit_small_patch14_dinov2-224px", dinov2, "teacher"),
    "timm's train.py of one of several": (
        "resnet50d",
        lambda state: timms_training("resnet50d", with_fc(state)),
        "student",
    ),
    "DeiT's training": ("deit_small", deit_training, "student"),
    "SlotCon": ("resnet18", slotcon, "student"),
    "EsViT": (
        "swin_tiny_patch4_window7_224",
        lambda state: {"teacher": state | heads("head.mlp.0", "head_dense.mlp.0"), "student": {}, "epoch": 1},
        "teacher",
    ),
    "lightning-bolts' BYOL": (
        "resnet18",
        lambda state: lightning(
            both("online_network.encoder.", "target_network.encoder.")(state)
            | heads("online_network.projector.model.0", "online_network.predictor.model.0")
        ),
        "student",
    ),
    "lightning-bolts' MoCo": (
        "resnet18",
        lambda state: lightning(
            both("encoder_q.", "encoder_k.")(with_fc(state)) | {"queue": NUMBER, "val_queue": NUMBER}
        ),
        "student",
    ),
    "lightning-bolts' SimCLR": (
        "resnet18",
        lambda state: lightning(prefixed(with_fc(state), "encoder.") | heads("projection.model.0")),
        "student",
    ),
    "lightly's BYOL": (
        "resnet18",
        lambda state: lightning(
            both("student_backbone.", "teacher_backbone.")(state)
            | heads("student_projection_head.layers.0", "student_prediction_head.layers.0", "teacher_projection_head.0")
        ),
        "teacher",
    ),
    "lightly's SwAV": (
        "resnet18",
        lambda state: lightning(
            prefixed(state, "backbone.")
            | heads("projection_head.layers.0", "prototypes.heads.0")
            | {"queues.0.bank": NUMBER}
        ),
        "student",
    ),
    "Cadene's": ("resnet18", lambda state: state | heads("last_linear"), "student"),
    "net": (
        "resnet18",
        lambda state: {"net": prefixed(state, "module.") | heads("module.linear"), "acc": 95.0},
        "student",
    ),
    "PySlowFast": ("resnet18", lambda state: {"model_state": with_fc(state), "cfg": "A: 1"}, "student"),
    "backbone": ("resnet18", lambda state: {"backbone": state, "head": heads("linear"), "epoch": 3}, "student"),
    "encoder": ("resnet18", lambda state: {"encoder": state, "projector": heads("0"), "epoch": 3}, "student"),
    "state dict in model": ("resnet18", lambda state: {"model": {"state_dict": state}, "epoch": 3}, "student"),
    "RadImageNet": ("resnet18", lambda state: prefixed(in_sequence(state, ""), "backbone."), "student"),
    "model.resnet": ("resnet18", lambda state: lightning(prefixed(with_fc(state), "model.resnet.")), "student"),
    "moving average": (
        "resnet18",
        lambda state: {"model_state_dict": state, "ema_state_dict": other(state), "epoch": 1},
        "student",
    ),
}


UNSAID = ("net", "PySlowFast", "backbone", "encoder", "model.resnet", "RadImageNet")
"""Whose codes are not known, or scale images by other figures than ImageNet's."""


@pytest.mark.parametrize("layout", ACCEPTED)
def test_the_right_network_is_taken(layout: str, tmp_path: Path) -> None:
    arch, build, which = ACCEPTED[layout]
    state = flat_state(arch)
    path = save(build(state), tmp_path)
    if layout in UNSAID:
        with pytest.raises(UserError, match="which code wrote it is not known; give --mean and --std"):
            load_backbone(path)
    backbone = load_backbone(path, reading=SAID if layout in UNSAID else NOTHING_SAID)
    assert (backbone.arch, backbone.which) == (arch, which)
    assert (backbone.preprocessing == IMAGENET) == (layout not in UNSAID)
    averaged = which == "teacher" and not layout.startswith(("DINOv2", "EsViT"))
    for key, value in (other(state) if averaged else state).items():
        assert torch.equal(backbone.state_dict[key], value), key


def test_heads_and_patches_of_a_name_are_the_networks() -> None:
    with torch.device("meta"):
        gap, sized = build_network(GAP), build_network(SIZED)
    assert gap.blocks[0].attn.num_heads == 12 and gap.cls_token is None  # type: ignore[index,union-attr]
    assert sized.patch_embed.proj.kernel_size == (16, 16) and sized.pos_embed.shape[1] == 197  # type: ignore[union-attr]


def openai_clip(state: State) -> State:
    """github.com/openai/CLIP: clip/model.py, as the state dict of its TorchScript files has it."""
    visual = {}
    for key, value in state.items():
        for ours, theirs in (
            ("cls_token", "class_embedding"),
            ("pos_embed", "positional_embedding"),
            ("patch_embed.proj", "conv1"),
            ("norm_pre", "ln_pre"),
            ("blocks.", "transformer.resblocks."),
            ("attn.qkv.", "attn.in_proj_"),
            ("attn.proj", "attn.out_proj"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
            (".norm1", ".ln_1"),
            (".norm2", ".ln_2"),
        ):
            key = key.replace(ours, theirs)
        key = key.replace("norm.", "ln_post.") if key.startswith("norm.") else key
        visual[f"visual.{key}"] = value
    visual["visual.class_embedding"] = visual["visual.class_embedding"][0, 0]
    visual["visual.positional_embedding"] = visual["visual.positional_embedding"][0]
    text = heads("token_embedding", "ln_final", "transformer.resblocks.0.ln_1") | {"positional_embedding": NUMBER}
    return (
        visual | text | {"visual.proj": NUMBER, "text_projection": NUMBER, "logit_scale": NUMBER, "vocab_size": NUMBER}
    )


def test_clips_vit_is_taken_under_the_name_that_says_its_activation(tmp_path: Path) -> None:
    arch = "vit_base_patch32_clip_quickgelu_224"
    state = flat_state(arch)
    path = save(openai_clip(state), tmp_path)
    with pytest.raises(UserError, match=r"patch32_clip_224, vit_base_patch32_clip_quickgelu_224.*OpenAI's"):
        load_backbone(path)
    with pytest.raises(UserError, match=r"CLIP's 0\.48145466.*give --mean and --std"):
        load_backbone(path, arch=arch)
    backbone = load_backbone(path, arch=arch, reading=SAID)
    assert backbone.arch == arch and len(backbone.dropped) == 8
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())
