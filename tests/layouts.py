"""One checkpoint for each layout of the table of sources, made from the state dict that has to come out of it.

Written from the methods' own code, not from the table: this is what the table is held against.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.backbones import flat_head, prefixed
from transfer.weights.backbone.architecture import COUNTER

State = dict[str, Tensor]
Build = Callable[[State], dict[str, Any]]

NUMBER = torch.zeros(1)
HEAD = {"mlp.0.weight": NUMBER, "last_layer.weight_g": NUMBER}


def other(state: State) -> State:
    """A second network of the same shapes: the teacher's."""
    return {key: value if key.endswith(COUNTER) else _shifted(value) for key, value in state.items()}


def _shifted(tensor: Tensor) -> Tensor:
    """Half more everywhere; a tensor that is one number expanded stays one."""
    if any(tensor.stride()):
        return tensor + 0.5
    return (tensor.flatten()[0] + 0.5).expand(tensor.shape)


def ours(state: State) -> dict[str, Any]:
    arch = "deit_small" if "cls_token" in state else "resnet18"
    return {"format": "twist-transfer", "version": 1, "arch": arch}


def our_checkpoint(state: State) -> dict[str, Any]:
    student, teacher = (
        prefixed(network, "backbone.") | prefixed(flat_head(), "head.") for network in (state, other(state))
    )
    recipe = {"name": "demo", "model": {"activation": "relu", "nbs": True}}
    return {**ours(state), "epoch": 3, "recipe": recipe, "model": student, "teacher": teacher, "optimizer": {}}


def our_backbone(state: State) -> dict[str, Any]:
    config = {"in_features": 512, "hidden": 8, "num_classes": 5}
    student = {"backbone": state, "head": flat_head(), "head_config": config}
    return {**ours(state), **student, "teacher_backbone": other(state), "teacher_head": flat_head()}


def official(state: State) -> dict[str, Any]:
    return {
        "model": prefixed(state, "backbone.") | {"projection_heads.0.weight": NUMBER},
        "backbone": state,
        "teacher": prefixed(other(state), "backbone."),
        "teacher_backbone": other(state),
        "optimizer": {"state": {}},
        "epoch": 7,
        "args": argparse.Namespace(arch="resnet18", lr=0.5, data=None),
    }


def with_fc(state: State) -> dict[str, Any]:
    return {**state, "fc.weight": NUMBER, "fc.bias": NUMBER}


def with_head(state: State) -> dict[str, Any]:
    return {**state, "head.weight": NUMBER, "head.bias": NUMBER}


def torchvision_vit(state: State) -> dict[str, Any]:
    """The names of vit_b_16's published file."""
    renamed = {}
    for key, value in state.items():
        key = re.sub(r"^blocks\.", "encoder.layers.encoder_layer_", key)
        for old, new in {
            "cls_token": "class_token",
            "pos_embed": "encoder.pos_embedding",
            "patch_embed.proj": "conv_proj",
            ".norm1": ".ln_1",
            ".norm2": ".ln_2",
            "attn.qkv.": "self_attention.in_proj_",
            "attn.proj": "self_attention.out_proj",
            "fc1": "linear_1",
            "fc2": "linear_2",
        }.items():
            key = key.replace(old, new)
        renamed[re.sub(r"^norm\.", "encoder.ln.", key)] = value
    return renamed | {"heads.head.weight": NUMBER, "heads.head.bias": NUMBER}


def mmpretrain_vit(state: State) -> dict[str, Any]:
    renamed = {}
    for key, value in state.items():
        for old, new in {
            "blocks.": "layers.",
            "patch_embed.proj": "patch_embed.projection",
            "norm1": "ln1",
            "norm2": "ln2",
            "mlp.fc1": "ffn.layers.0.0",
            "mlp.fc2": "ffn.layers.1",
        }.items():
            key = key.replace(old, new)
        renamed[re.sub(r"^norm\.", "ln1.", key)] = value
    state_dict = prefixed(renamed, "backbone.") | {"head.layers.head.weight": NUMBER}
    return {"meta": {"mmpretrain_version": "1.2.0"}, "state_dict": state_dict}


def example(state: State) -> dict[str, Any]:
    return {"epoch": 90, "arch": "resnet18", "state_dict": prefixed(with_fc(state), "module."), "best_acc1": 69.8}


def moco(state: State) -> dict[str, Any]:
    head = {"fc.0.weight": NUMBER, "fc.2.bias": NUMBER}
    query, key = {**state, **head}, {**other(state), **head}
    state_dict = prefixed(query, "module.encoder_q.") | prefixed(key, "module.encoder_k.")
    state_dict |= {"module.queue": NUMBER, "module.queue_ptr": NUMBER}
    return {"epoch": 200, "arch": "resnet18", "state_dict": state_dict, "optimizer": {}}


def moco_v3(state: State) -> dict[str, Any]:
    head = {"fc.0.weight": NUMBER} if "conv1.weight" in state else {"head.0.weight": NUMBER}
    base, momentum = {**state, **head}, {**other(state), **head}
    state_dict = prefixed(base, "module.base_encoder.") | prefixed(momentum, "module.momentum_encoder.")
    return {"epoch": 300, "arch": "resnet18", "state_dict": {**state_dict, "module.predictor.0.weight": NUMBER}}


def without_ddp(checkpoint: dict[str, Any]) -> dict[str, Any]:
    state_dict = {key.removeprefix("module."): value for key, value in checkpoint["state_dict"].items()}
    return {**checkpoint, "state_dict": state_dict}


def simsiam(state: State) -> dict[str, Any]:
    encoder = prefixed({**state, "fc.0.weight": NUMBER, "fc.6.bias": NUMBER}, "encoder.")
    state_dict = prefixed({**encoder, "predictor.0.weight": NUMBER}, "module.")
    return {"epoch": 100, "arch": "resnet18", "state_dict": state_dict, "optimizer": {}}


def pixpro(state: State) -> dict[str, Any]:
    heads = {"projector.linear1.weight": NUMBER, "projector_k.linear1.weight": NUMBER, "value_transform.weight": NUMBER}
    model = prefixed(state, "encoder.") | prefixed(other(state), "encoder_k.") | heads
    return {"opt": argparse.Namespace(arch="resnet18"), "model": prefixed(model, "module."), "epoch": 100}


def vicregl(state: State) -> dict[str, Any]:
    heads = {name + ".0.weight": NUMBER for name in ("maps_projector", "projector")} | {"classifier.weight": NUMBER}
    return {"epoch": 300, "model": prefixed(prefixed(state, "backbone.") | heads, "module."), "optimizer": {}}


def ibot(state: State, teacher_prefix: str = "") -> dict[str, Any]:
    checkpoint = dino(state, teacher_prefix)
    checkpoint["student"]["module.backbone.masked_embed"] = NUMBER
    del checkpoint["dino_loss"]
    return {**checkpoint, "ibot_loss": {"center": NUMBER}}


def alone_in_state_dict(state: State) -> dict[str, Any]:
    """SimCLR's converted weights, and any supervised ResNet whose author saved it so."""
    return {"state_dict": with_fc(state)}


def simclr(state: State) -> dict[str, Any]:
    head = {"fc.0.weight": NUMBER, "fc.2.weight": NUMBER}
    return {"epoch": 100, "arch": "resnet18", "state_dict": prefixed({**state, **head}, "backbone."), "optimizer": {}}


def byol(state: State) -> dict[str, Any]:
    children = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}

    def network(name: str, weights: State) -> dict[str, Any]:
        numbered = {f"{children[key.split('.')[0]]}.{key.split('.', 1)[1]}": value for key, value in weights.items()}
        return prefixed(numbered, f"module.{name}.encoder.") | {f"module.{name}.projetion.l1.weight": NUMBER}

    model = network("online_network", state) | network("target_network", other(state))
    return {"config": {}, "epoch": 300, "steps": 1, "model": {**model, "module.predictor.predictor.l1.weight": NUMBER}}


def swav(state: State) -> dict[str, Any]:
    return prefixed({**state, "projection_head.0.weight": NUMBER, "prototypes.weight": NUMBER}, "module.")


def swav_checkpoint(state: State) -> dict[str, Any]:
    deep_cluster = {**state, "projection_head.0.weight": NUMBER, "prototypes.prototypes0.weight": NUMBER}
    return {"epoch": 400, "state_dict": prefixed(deep_cluster, "module."), "optimizer": {}}


def dino(state: State, teacher_prefix: str = "") -> dict[str, Any]:
    return {
        "student": prefixed(prefixed(state, "backbone.") | prefixed(HEAD, "head."), "module."),
        "teacher": prefixed(prefixed(other(state), "backbone.") | prefixed(HEAD, "head."), teacher_prefix),
        "optimizer": {},
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small"),
        "dino_loss": {"center": NUMBER},
    }


def barlow_twins(state: State) -> dict[str, Any]:
    model = prefixed(state, "backbone.") | {"projector.0.weight": NUMBER, "bn.running_mean": NUMBER}
    return {"epoch": 1000, "model": prefixed(model, "module."), "optimizer": {}}


def vicreg(state: State) -> dict[str, Any]:
    model = prefixed(state, "backbone.") | {"projector.0.weight": NUMBER}
    return {"epoch": 1000, "model": prefixed(model, "module."), "optimizer": {}}


def densecl(state: State) -> dict[str, Any]:
    """A training checkpoint: the query encoder stands in it twice."""
    state_dict = prefixed(state, "backbone.") | prefixed(state, "encoder_q.0.") | prefixed(other(state), "encoder_k.0.")
    return {"meta": {}, "state_dict": {**state_dict, "encoder_q.1.mlp.0.weight": NUMBER, "queue2": NUMBER}}


RESNET_LAYOUTS: dict[str, Build] = {
    "twist-transfer checkpoint": our_checkpoint,
    "twist-transfer backbone": our_backbone,
    "official TWIST": official,
    "plain ResNet without classifier": lambda state: dict(state),
    "plain ResNet with classifier": with_fc,
    "PyTorch ImageNet example": example,
    "MoCo": moco,
    "MoCo v3": moco_v3,
    "MoCo without DDP": lambda state: without_ddp(moco(state)),
    "MoCo v3 without DDP": lambda state: without_ddp(moco_v3(state)),
    "SimSiam": simsiam,
    "PixPro": pixpro,
    "ResNet with classifier in state_dict": alone_in_state_dict,
    "SimCLR (PyTorch)": simclr,
    "BYOL (PyTorch)": byol,
    "SwAV or DeepCluster-v2": swav,
    "SwAV or DeepCluster-v2 checkpoint": swav_checkpoint,
    "DINO with batch norm": lambda state: dino(state, "module."),
    "iBOT with batch norm": lambda state: ibot(state, "module."),
    "Barlow Twins": barlow_twins,
    "VICReg": vicreg,
    "VICRegL": vicregl,
    "OpenMMLab ResNet": densecl,
    "OpenSelfSup backbone": lambda state: {"state_dict": dict(state), "author": "DenseCL"},
}
VIT_LAYOUTS: dict[str, Build] = {
    "twist-transfer checkpoint": our_checkpoint,
    "twist-transfer backbone": our_backbone,
    "official TWIST": official,
    "plain ViT without classifier": lambda state: dict(state),
    "plain ViT with classifier": with_head,
    "torchvision ViT": torchvision_vit,
    "DeiT": lambda state: {"model": with_head(state)},
    "MoCo v3": moco_v3,
    "MoCo v3 without DDP": lambda state: without_ddp(moco_v3(state)),
    "DINO": dino,
    "iBOT": ibot,
    "OpenMMLab ViT": mmpretrain_vit,
}
TEACHERS = {
    "twist-transfer checkpoint",
    "twist-transfer backbone",
    "official TWIST",
    "MoCo",
    "MoCo v3",
    "MoCo without DDP",
    "MoCo v3 without DDP",
    "PixPro",
    "BYOL (PyTorch)",
    "DINO",
    "DINO with batch norm",
    "iBOT",
    "iBOT with batch norm",
}
TEACHER_BY_DEFAULT = {"DINO", "DINO with batch norm", "iBOT", "iBOT with batch norm"}
ASK_PREPROCESSING = {  # no tensor shows how their images were scaled
    "ResNet with classifier in state_dict",
    "plain ViT without classifier",
    "plain ViT with classifier",
}
