"""Hugging Face's checkpoints give the features that transformers computes, or are refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.hugging_face import images_of, layouts, shapes_of, state_of, values_of, write_folder
from transfer.weights.backbone import load_backbone
from transfer.weights.backbone.hugging_face import hugging_face_source
from transfer.weights.backbone.network import build_network
from transfer.weights.backbone.timm_network import create_model

LAYOUTS = layouts()
ARCHS = {
    "vit": "vit_tiny_patch16_224-96px-eps1e-12",
    "vit without head": "vit_tiny_patch16_224-96px-eps1e-12",
    "vit_mae": "vit_tiny_patch16_224-96px-eps1e-12",
    "dinov2": "vit_small_patch14_dinov2-70px",
    "dinov2_with_registers": "vit_small_patch14_reg4_dinov2-70px",
    "dinov3_vit": "vit_small_patch16_dinov3_qkvb",
    "resnet": "resnet18",
    "resnet bottleneck": "resnet26",
    "convnext": "convnext_tiny-lasteps1e-12",
    "swin": "swin_tiny_patch4_window7_224",
}
DROPPED = {
    "vit": {"classifier"},
    "vit without head": {"pooler"},
    "vit_mae": {"decoder"},
    "dinov2": {"mask token"},
    "dinov2_with_registers": {"classifier", "mask token"},
    "dinov3_vit": {"mask token"},
    "resnet": {"classifier"},
    "convnext": {"classifier"},
    "swin": {"decoder", "mask token"},
}
NARROW = {  # of families whose smallest published network is large
    "dinov2 gated": ("vit_giant_patch14_dinov2", {"embed_dim": 48, "depth": 4, "num_heads": 3, "img_size": 70}),
    "dinov3_vit gated": ("vit_small_plus_patch16_dinov3_qkvb", {"embed_dim": 48, "depth": 4, "num_heads": 3}),
    "dinov3_convnext": ("convnext_tiny", {"dims": (8, 16, 32, 64), "depths": (1, 1, 2, 1)}),
}


def check_features(maps: dict[int, Tensor], feature: Tensor, layout: dict[str, Any]) -> None:
    """Maps after blocks or stages, by their number from 1, and the pooled feature, against those of transformers."""
    kind = layout["config"]["model_type"]
    *expected, last = layout["values"] if kind != "swin" else (*([None] * 3), layout["values"][0], None)
    for number, found in maps.items():
        if (values := expected[number - 1]) is not None:
            tokens = found.flatten(2).transpose(1, 2) if "vit" in kind or "dinov2" in kind else found
            torch.testing.assert_close(values_of(tokens), values, rtol=0, atol=1e-5)
    if last is not None:
        torch.testing.assert_close(values_of(feature), last, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ARCHS)
def test_a_folder_gives_the_features_that_transformers_computes(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    backbone = load_backbone(write_folder(layout, tmp_path))
    assert (backbone.arch, backbone.preprocessing.std) == (ARCHS[name], (0.25, 0.25, 0.25))
    assert set(backbone.dropped.values()) == DROPPED.get(name, set())
    network = build_network(backbone.arch).eval()
    network.load_state_dict(backbone.state_dict, strict=True)
    images = images_of(layout["size"])
    with torch.inference_mode():
        stages, feature = network.forward_stages(images), network(images)
    numbers = {stage: int(re.sub(r"\D", "", stage)) - stage.startswith("res") for stage in stages if stage != "stem"}
    check_features({number: stages[stage] for stage, number in numbers.items()}, feature, layout)


@pytest.mark.parametrize("name", NARROW)
def test_key_tables_hold_for_families_whose_networks_are_large(name: str) -> None:
    layout = LAYOUTS[name]
    tensors = state_of(shapes_of(layout["tensors"]))
    source = hugging_face_source(tensors)
    assert source is not None and source.naming is not None and source.values is not None
    ours = {source.naming.ours(key): tensors[key] for key in tensors if not key.startswith(tuple(source.dropped))}
    model, settings = NARROW[name]
    network: Any = create_model(model, **settings).eval()
    network.load_state_dict(source.values(ours, "file"))
    images = images_of(layout["size"])
    with torch.inference_mode():
        maps = network.forward_intermediates(images, norm=False, intermediates_only=True)
        check_features(dict(enumerate(maps, 1)), network(images), layout)
