"""Networks of timm are recognised by their keys and shapes, under their own codes' names; what no shape shows is asked.

Each file has the true layout of its code, and timm's own filter is what the result is held against.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import beit, convnext, eva, swin_transformer, vision_transformer
from torch import Tensor

from tests.backbones import flat_state, prefixed
from transfer.reading import Reading
from transfer.weights.backbone import IMAGENET, load_backbone
from twist_common.errors import UserError

State = dict[str, Tensor]
NUMBER = torch.zeros(1)
SAID = Reading(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def save(checkpoint: Any, folder: Path) -> Path:
    torch.save(checkpoint, folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    result = {}
    for key, value in state.items():
        for pattern, new in pairs:
            key = re.sub(pattern, new, key)
        result[key] = value
    return result


def dinov2(state: State) -> State:
    """github.com/facebookresearch/dinov2: hub/backbones.py has block_chunks=0, its training 4."""
    return {**state, "mask_token": torch.zeros(1, state["cls_token"].shape[-1])}


def dinov2_with_registers(state: State) -> State:
    """Its class token has a position, and the blocks are in two chunks."""
    width = state["cls_token"].shape[-1]
    position = torch.full((1, 1, width), 0.25)
    state = dinov2(state) | {
        "cls_token": state["cls_token"] - position,
        "pos_embed": torch.cat([position, state["pos_embed"]], 1),
    }
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    chunks = [(rf"^blocks\.{block}\.", f"blocks.{2 * block // depth}.{block}.") for block in range(depth)]
    return renamed(state, *chunks, ("reg_token", "register_tokens"), ("mlp.fc1", "mlp.w12"), ("mlp.fc2", "mlp.w3"))


def dinov2_of_training(state: State) -> dict[str, Any]:
    """train/train.py, do_test: eval/training_N/teacher_checkpoint.pth."""
    heads = {"dino_head.mlp.0.weight": NUMBER, "ibot_head.last_layer.weight_g": NUMBER}
    return {"teacher": prefixed(dinov2(state), "backbone.") | heads}


def dinov3(state: State) -> State:
    """github.com/facebookresearch/dinov3: models/vision_transformer.py."""
    width = state["cls_token"].shape[-1]
    mask = torch.cat([torch.ones(width), torch.zeros(width), torch.ones(width)])
    original = renamed(state, ("reg_token", "storage_tokens"), (r"gamma_(\d)", r"ls\1.gamma"))
    for key in [key for key in original if key.endswith("q_bias")]:
        beginning = key.removesuffix("q_bias")
        parts = original.pop(key), torch.full((width,), 7.0), original.pop(f"{beginning}v_bias")
        original |= {f"{beginning}qkv.bias": torch.cat(parts), f"{beginning}qkv.bias_mask": mask}
    periods = 100 ** (2 * torch.arange(16) / 32)
    return {**original, "mask_token": torch.zeros(1, width), "rope_embed.periods": periods}


def swin(state: State) -> dict[str, Any]:
    """github.com/microsoft/Swin-Transformer: models/swin_transformer.py; utils.py."""
    original = renamed(state, *((rf"layers\.{n + 1}\.downsample", f"layers.{n}.downsample") for n in range(3)))
    index, mask = torch.zeros(49, 49, dtype=torch.int64), torch.zeros(64, 49, 49)
    buffers = {"layers.0.blocks.0.attn.relative_position_index": index, "layers.0.blocks.1.attn_mask": mask}
    return {"model": original | buffers | {"head.weight": NUMBER, "head.bias": NUMBER}, "max_accuracy": 80.0}


def convnext_original(state: State) -> dict[str, Any]:
    """github.com/facebookresearch/ConvNeXt: models/convnext.py; ConvNeXt-V2: models/convnextv2.py."""
    original = renamed(
        state,
        (r"^stem\.", "downsample_layers.0."),
        (r"stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"\.blocks\.", "."),
        ("conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"mlp\.grn\.weight", "grn.gamma"),
        (r"mlp\.grn\.bias", "grn.beta"),
        (r"head\.norm\.", "norm."),
    )
    shaped = {key: value.reshape(1, 1, 1, -1) if ".grn." in key else value for key, value in original.items()}
    return {"model": shaped | {"head.weight": NUMBER, "head.bias": NUMBER}}


def beit_fine_tuned(state: State) -> dict[str, Any]:
    """github.com/microsoft/unilm: beit/modeling_finetune.py."""
    index = torch.zeros(197, 197, dtype=torch.int64)
    return {"model": state | {"blocks.0.attn.relative_position_index": index, "head.weight": NUMBER}}


Filter = Callable[[Any, Any], State]
ORIGINALS: dict[str, tuple[str, str, Callable[[State], Any], Filter]] = {
    "DINOv2": ("vit_small_patch14_dinov2", "DINOv2", dinov2, vision_transformer.checkpoint_filter_fn),
    "DINOv2 with registers": (
        "vit_small_patch14_reg4_dinov2",
        "DINOv2",
        dinov2_with_registers,
        lambda state, network: vision_transformer.checkpoint_filter_fn(
            renamed(state, (r"^blocks\.\d+\.(\d+\.)", r"blocks.\1")), network
        ),
    ),
    "DINOv2 of training": (
        "vit_small_patch14_dinov2",
        "DINOv2 in teacher",
        dinov2_of_training,
        lambda state, network: vision_transformer.checkpoint_filter_fn(
            {key.removeprefix("backbone."): value for key, value in state["teacher"].items()}, network
        ),
    ),
    "DINOv3": ("vit_small_patch16_dinov3_qkvb", "DINOv3", dinov3, eva.checkpoint_filter_fn),
    "Swin": ("swin_tiny_patch4_window7_224", "Swin in model", swin, swin_transformer.checkpoint_filter_fn),
    "ConvNeXt": ("convnext_tiny", "ConvNeXt in model", convnext_original, convnext.checkpoint_filter_fn),
    "ConvNeXt V2": ("convnextv2_atto", "ConvNeXt in model", convnext_original, convnext.checkpoint_filter_fn),
    "BEiT": ("beit_base_patch16_224", "BEiT in model", beit_fine_tuned, beit.checkpoint_filter_fn),
}


@pytest.mark.parametrize("layout", ORIGINALS)
def test_networks_under_their_own_codes_names_become_timms_as_its_own_filter_reads_them(
    layout: str, tmp_path: Path
) -> None:
    arch, name, original, filtered = ORIGINALS[layout]
    state = flat_state(arch)
    backbone = load_backbone(save(original(state), tmp_path), reading=SAID)
    assert (backbone.arch, backbone.source_format) == (arch, name)
    assert list(backbone.state_dict) == list(state)
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict.items())
    with torch.device("meta"):
        network = timm.create_model(arch)
    theirs = filtered(original(state), network)
    assert all(torch.equal(value, theirs[key]) for key, value in backbone.state_dict.items())


@pytest.mark.parametrize("layout", ORIGINALS)
def test_preprocessing_of_original_codes_is_asked_where_they_leave_it_open(layout: str, tmp_path: Path) -> None:
    arch, name, original, _ = ORIGINALS[layout]
    path = save(original(flat_state(arch)), tmp_path)
    if name.split()[0] in ("DINOv3", "BEiT"):
        with pytest.raises(UserError, match="satellites" if "v3" in name else "imagenet_default_mean_and_std"):
            load_backbone(path)
    else:
        assert load_backbone(path).preprocessing == IMAGENET


PLAIN = [
    ("vit_base_patch8_224", "head."),
    ("deit_small_distilled_patch16_224", "head_dist."),
    ("vit_small_patch14_reg4_dinov2", "head."),
    ("resnext50_32x4d", "fc."),
    ("resnet18d", "fc."),
    ("swin_tiny_patch4_window7_224", "head.fc."),
    ("convnext_tiny", "head.fc."),
]


@pytest.mark.parametrize(("arch", "head"), PLAIN)
def test_networks_of_timm_are_known_by_their_shapes(arch: str, head: str, tmp_path: Path) -> None:
    state = flat_state(arch)
    checkpoints = [state, {"state_dict": prefixed(state, "module.") | {f"module.{head}weight": NUMBER}}]
    for checkpoint in checkpoints:
        backbone = load_backbone(save(checkpoint, tmp_path), reading=SAID)
        assert backbone.arch == arch
        assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict.items())


@pytest.mark.parametrize(
    ("arch", "others"),
    [
        ("resnet50d", "resnet50d, resnetaa50d, resnetblur50d"),
        ("swinv2_tiny_window8_256", "swinv2_tiny_window8_256, swinv2_tiny_window16_256"),
    ],
)
def test_networks_of_the_same_shapes_are_asked_for_by_name(arch: str, others: str, tmp_path: Path) -> None:
    path = save({"model": flat_state(arch)}, tmp_path)
    with pytest.raises(UserError, match=f"any of timm's {others}, .* --arch {arch}"):
        load_backbone(path)
    assert load_backbone(path, arch=arch).arch == arch


def test_heads_of_a_tiny_vit_are_asked_for_and_its_preprocessing_with_them(tmp_path: Path) -> None:
    path = save(flat_state("vit_tiny_patch16_224"), tmp_path)
    with pytest.raises(UserError, match=r"3 attention heads .* 12.*--arch vit_tiny_patch16_224"):
        load_backbone(path, reading=SAID)
    with pytest.raises(UserError, match="--mean and --std"):
        load_backbone(path, arch="vit_tiny_patch16_224")
    augreg = load_backbone(path, arch="vit_tiny_patch16_224.augreg_in21k")  # timm's own weights
    assert augreg.preprocessing.mean == (0.5, 0.5, 0.5)


def test_biases_of_dinov3_count_as_its_mask_lets_them_in(tmp_path: Path) -> None:
    """The released files mask all of them (github.com/facebookresearch/dinov3/issues/195)."""
    state = dinov3(flat_state("vit_small_patch16_dinov3_qkvb"))
    masks = {key: torch.zeros_like(value) for key, value in state.items() if key.endswith("bias_mask")}
    backbone = load_backbone(save(state | masks, tmp_path), reading=SAID)
    biases = [value for key, value in backbone.state_dict.items() if key.endswith(("q_bias", "v_bias"))]
    assert len(biases) == 24 and not any(bias.any() for bias in biases)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("blocks.3.attn.qkv.bias_mask", "lets biases of keys in.*: give a file as DINOv3's own code saves it"),
        ("rope_embed.periods", "of base 100.*: give a file as DINOv3's own code saves it"),
    ],
)
def test_dinov3_that_its_code_did_not_write_is_refused(key: str, says: str, tmp_path: Path) -> None:
    state = dinov3(flat_state("vit_small_patch16_dinov3_qkvb"))
    with pytest.raises(UserError, match=f"no DINOv3 as its code writes it: .*{says}"):
        load_backbone(save(state | {key: torch.ones_like(state[key])}, tmp_path), reading=SAID)


@pytest.mark.parametrize(
    ("stem", "says"),
    [
        ((64, 3, 3, 3), "3x3 stem of recipes for CIFAR.*7x7 stem"),
        ((64, 1, 7, 7), "takes 1 channel: images here are RGB"),
        ((256, 3, 7, 7), r"4 times the width \(w4\)"),
    ],
)
def test_other_stems_are_named(stem: tuple[int, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"holds a resnet18 .*{says}"):
        load_backbone(save(flat_state() | {"conv1.weight": torch.ones(()).expand(stem)}, tmp_path))


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        (
            lambda: dinov2(flat_state("vit_small_patch14_dinov2") | {"pos_embed": torch.ones(()).expand(1, 258, 384)}),
            r"\(DINOv2\) holds .* vit_small_patch14_dinov2, whose pos_embed has shape \[1, 1370, 384\]",
        ),
        (
            lambda: {key: value for key, value in flat_state("convnext_tiny").items() if not key.endswith("gamma")},
            r"ConvNeXt in timm's names\) holds .* convnext_tiny, which has also stages\.0\.blocks\.0\.gamma",
        ),
        (lambda: {"model": beit_before_fine_tuning()}, "BEiT before it is fine-tuned"),
        (
            lambda: {"model": {"student.backbone._fsdp_wrapped_module._flat_param": NUMBER}},
            "one rank's part of a sharded save",
        ),
        (
            lambda: {"module": dict.fromkeys(flat_state(), torch.zeros(0)), "ds_version": "0.9"},
            r"ZeRO-3.*zero_to_fp32\.py",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_right_name(checkpoint: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        load_backbone(save(checkpoint(), tmp_path), reading=SAID)


def beit_before_fine_tuning() -> State:
    """github.com/microsoft/unilm: beit/modeling_pretrain.py."""
    state = flat_state("beit_base_patch16_224")
    kept = {key: value for key, value in state.items() if not key.startswith("fc_norm") and "table" not in key}
    norm = {"norm.weight": NUMBER, "norm.bias": NUMBER, "lm_head.weight": NUMBER, "mask_token": NUMBER}
    return kept | norm | {"rel_pos_bias.relative_position_bias_table": torch.zeros(732, 12)}


def test_folder_of_torchs_distributed_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(b"")
    with pytest.raises(UserError, match="dcp_to_torch"):
        load_backbone(tmp_path)
