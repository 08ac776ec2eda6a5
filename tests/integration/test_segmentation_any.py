"""Any architecture in MMSegmentation: a proved conversion, a training step, and whole trials."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.backbones import trained_like
from tests.timm_networks import TABLE, saved
from transfer.weights.backbone import Backbone, load_backbone
from transfer.weights.backbone.architecture import get
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.convert.convert import Converted, convert, get_target
from transfer.weights.convert.target import ConversionError

pytestmark = pytest.mark.usefixtures("mmengine_on_one_thread")

OURS = ("resnet18", "deit_small", *(("resnet50w2", "resnet101", "vit_base") if os.environ.get("TIMM_TABLE") else ()))


def converted(backbone: Backbone, folder: Path) -> Converted:
    return convert(backbone, get_target("mmseg-any", backbone.arch), folder, "weights")


@pytest.mark.parametrize("arch", [*OURS, *TABLE])
def test_mmsegmentation_computes_the_features_of_any_network_from_the_file(arch: str, tmp_path: Path) -> None:
    if arch in OURS:
        backbone = trained_like(arch)
    else:
        backbone = load_backbone(f"timm:{arch}@{saved(arch, tmp_path / 'weights.pth')}")
    result, spec = converted(backbone, tmp_path), get(arch)
    assert list(result.proof["stages"]) == list(spec.stages)
    assert max(stage["max_abs_difference"] for stage in result.proof["stages"].values()) == 0.0
    fixed = isinstance(spec, TimmSpec) and not spec.any_size
    assert fixed or any(height != width for *_, height, width in result.proof["images"]["shapes"])

    file = torch.load(result.path, weights_only=True)["state_dict"]
    dropped = [key for keys in result.proof["keys_dropped"].values() for key in keys]
    kept = {f"network.{key}": value for key, value in backbone.state_dict.items() if key not in dropped}
    assert file.keys() == kept.keys() and all(torch.equal(file[key], value) for key, value in kept.items())
    assert not [key for key in dropped if key.startswith(("blocks.", "layers.", "stages.", "layer"))]


def test_another_network_in_the_file_is_caught(tmp_path: Path) -> None:
    backbone, target = trained_like("resnet18"), get_target("mmseg-any", "resnet18")

    def write(path: Path, tensors: dict[str, torch.Tensor], backbone: Backbone) -> None:
        target.write(path, {name: 1.001 * value if value.ndim else value for name, value in tensors.items()}, backbone)

    with pytest.raises(ConversionError, match="the features of stem differ"):
        convert(backbone, replace(target, write=write), tmp_path, "weights")
    assert not list(tmp_path.iterdir())
