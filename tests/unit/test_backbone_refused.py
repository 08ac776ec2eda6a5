"""Files whose weights are no network's as it is built here: each is refused by what is in it, and told the way."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.backbones import flat_state, prefixed
from tests.unit.test_backbone_writers import NUMBER, SAID, State, heads, save
from transfer.weights.backbone import load_backbone
from twist_common.errors import UserError


def openmmlab(config: str, state: State, *more: str) -> State:
    return {"meta": {"config": config}, "state_dict": prefixed(state, "backbone.") | heads(*more)}


STYLE = "backbone=dict(type='ResNet', depth=18, style='caffe')"
DILATED = "backbone=dict(type='ResNetV1c', strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), style='pytorch')"


def in_parts(*endings: str) -> Callable[[State], State]:
    """Every convolution's weight under other names."""
    return lambda state: {
        name: value
        for key, value in state.items()
        for name in ([key.replace("weight", each) for each in endings] if "conv" in key else [key])
    }


def adam(_: State) -> State:
    parameter = nn.Parameter(torch.ones(64, 3, 7, 7))
    parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.AdamW([parameter])
    optimizer.step()
    return {"optimizer": optimizer.state_dict(), "lr_scheduler": {"last_epoch": 1}, "epoch": 1}


def detectron2(state: State) -> State:
    return {
        "model": {"backbone.bottom_up.stem.conv1.weight": state["conv1.weight"], "pixel_mean": NUMBER},
        "iteration": 9,
    }


def with_first(channels: tuple[int, ...]) -> Callable[[State], State]:
    return lambda _: flat_state("vit_base") | {"patch_embed.proj.weight": torch.ones(()).expand(channels)}


REFUSED: dict[str, tuple[Callable[[State], Any], str]] = {
    "Caffe's style": (lambda state: openmmlab(STYLE, state), r"1x1 convolutions.*style='pytorch'"),
    "dilated": (lambda state: openmmlab(DILATED, state), r"dilations=\(1, 1, 2, 4\).*before the segmentation"),
    "LoRA beside weights": (lambda state: state | {"layer1.0.conv1.lora_A": NUMBER}, "LoRA.*merge_and_unload"),
    "LoRA alone": (lambda state: {"base_model.model.layer.0.query.lora_B.weight": NUMBER}, "LoRA.*merge_and_unload"),
    "pruned": (in_parts("weight_orig", "weight_mask"), r"weight_orig.*prune\.remove"),
    "weight norm": (in_parts("weight_g", "weight_v"), "remove_weight_norm"),
    "parametrised": (in_parts("parametrizations.weight.original"), "remove_parametrizations"),
    "8 bits": (lambda state: state | {"layer1.0.conv1.weight_scale": NUMBER}, "quantised.*made from"),
    "blurred": (lambda state: state | {"layer2.0.downsample.0.filt": NUMBER}, "antialiased-cnns.*without"),
    "torchvision's DeepLab": (
        lambda state: {
            "model": prefixed(state, "backbone.")
            | heads("classifier.0.convs.0.0")
            | {"classifier.4.weight": torch.ones(2, 2, 1, 1)}
        },
        "dilated in its last two stages.*before the segmenter",
    ),
    "Megatron": (lambda state: {"model": {"layers.0.query_key_value.weight": NUMBER}}, "take turns, head by head"),
    "optimiser alone": (adam, "optimizer's state and no network"),
    "list of pairs": (lambda state: {"state_dict": list(state.items())}, "as a list.*without the names"),
    "torch_ema": (lambda state: {"decay": 0.9, "shadow_params": list(state.values())}, "as a list.*without the names"),
    "Detectron2": (detectron2, "BGR.*before the detector"),
    "arrays": (lambda state: {key: value.numpy() for key, value in state.items()}, r"NumPy array.*torch\.from_numpy"),
    "group norm": (
        lambda state: {key: value for key, value in state.items() if "running" not in key and "tracked" not in key},
        "norms without statistics.*resnet50_gn",
    ),
    "grey ViT": (with_first((768, 1, 16, 16)), "patches have 1 channel: images here are RGB"),
    "multispectral ViT": (with_first((768, 13, 16, 16)), "patches have 13 channels: images here are RGB"),
    "video": (with_first((768, 3, 2, 16, 16)), "takes videos"),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_what_is_in_it_and_what_to_do_are_said(layout: str, tmp_path: Path) -> None:
    build, says = REFUSED[layout]
    with pytest.raises(UserError, match=says) as caught:
        load_backbone(save(build(flat_state()), tmp_path))
    assert "\n" not in str(caught.value)


def test_last_norm_of_the_mean_is_named(tmp_path: Path) -> None:
    state = {
        key.replace("norm.", "fc_norm.") if key.startswith("norm.") else key: value
        for key, value in flat_state("vit_base").items()
    }
    with pytest.raises(UserError, match=r"average pooling.*before it was fine-tuned"):
        load_backbone(
            save({"model": state, "args": argparse.Namespace(model="vit_base_patch16")}, tmp_path), reading=SAID
        )


def test_everything_that_no_tensor_shows_is_asked_for_at_once(tmp_path: Path) -> None:
    path = save({"model": flat_state("deit_small")}, tmp_path)
    with pytest.raises(UserError, match=r"--arch deit_small if it is one; and it does not say.*--mean and --std"):
        load_backbone(path)
    assert load_backbone(path, arch="deit_small", reading=SAID).arch == "deit_small"
    assert load_backbone(path, arch="vit_small_patch16_224-12heads", reading=SAID).arch.endswith("-12heads")


def test_what_no_answer_mends_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    state = {key: value for key, value in flat_state("deit_small").items() if not key.endswith("qkv.bias")}
    with pytest.raises(UserError, match=r"lacks blocks\.0\.attn\.qkv\.bias"):
        load_backbone(save(state, tmp_path))
