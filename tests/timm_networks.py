"""Networks of timm that are tried in every framework, and checkpoints of them as timm itself saves them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import timm
import torch

from transfer.weights.backbone.types import IMAGENET

QUICK = (
    "vit_tiny_patch16_224",
    "test_vit",
    "convnext_atto",
    "convnextv2_atto",
    "swinv2_cr_tiny_ns_224",
    "resnet10t",
    "regnety_002",
    "test_efficientnet",
)
# The whole table: TIMM_TABLE=1. Ten minutes on two cores.
WHOLE = (
    *("vit_small_patch8_224", "vit_base_patch8_224", "vit_small_patch16_224", "vit_base_patch16_224.mae"),
    *("vit_base_patch16_clip_224", "vit_base_patch16_siglip_224", "deit3_small_patch16_224"),
    *("deit_tiny_distilled_patch16_224", "vit_small_patch14_dinov2", "vit_base_patch14_dinov2"),
    *("vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3", "vit_small_plus_patch16_dinov3"),
    *("eva02_tiny_patch14_224", "eva02_small_patch14_224", "beit_base_patch16_224", "beitv2_base_patch16_224"),
    *("convnext_tiny", "convnext_tiny.dinov3_lvd1689m", "convnextv2_tiny"),
    *("swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224", "swinv2_tiny_window8_256", "swin_s3_tiny_224"),
    *("resnet152", "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2", "resnet50d"),
    *("resnetblur50", "resnetaa50", "resnet50_gn", "resnetv2_50", "regnety_016", "regnetx_002", "efficientnet_b0"),
    *("mobilenetv3_small_050", "pvt_v2_b0"),
)
TABLE = QUICK + (WHOLE if os.environ.get("TIMM_TABLE") else ())


def saved(arch: str, path: Path) -> Path:
    """What timm itself saves of a network with its classifier, whose tensors are not the initialisation's."""
    torch.manual_seed(3)
    network = timm.create_model(arch, pretrained=False)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor += 0.02 * torch.rand_like(tensor) * (1 if name.endswith("running_var") else tensor.abs().mean())
    torch.save(network.state_dict(), path)
    config = {"pretrained_cfg": {"mean": IMAGENET.mean, "std": IMAGENET.std}}
    (path.parent / "config.json").write_text(json.dumps(config))
    return path
