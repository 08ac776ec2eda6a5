"""Networks of timm: from a file or a seed to a proved conversion, with timm's own modules as the witness."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from tests.classification_trials import make_trial
from tests.timm_networks import QUICK, TABLE, saved
from transfer.planner.flop import of_backbone
from transfer.tasks.classification import task
from transfer.weights.backbone import architecture, load_backbone, random_backbone
from transfer.weights.backbone.network import build_network
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.convert.convert import convert, get_target
from transfer.work import BackbonePass
from twist_common.errors import UserError


@pytest.mark.parametrize("arch", TABLE)
def test_a_network_of_timm_is_loaded_and_proved(arch: str, tmp_path: Path) -> None:
    path = saved(arch, tmp_path / "weights.pth")
    backbone = load_backbone(f"timm:{arch}@{path}")
    spec = architecture.get(arch)
    assert isinstance(spec, TimmSpec)
    theirs = torch.load(path)
    kept = timm.create_model(arch, pretrained=False, num_classes=0).state_dict()
    assert list(backbone.state_dict) == list(kept)
    assert all(torch.equal(value, theirs[key]) for key, value in backbone.state_dict.items())
    assert set(backbone.dropped.values()) <= {"classifier"}

    result = convert(backbone, get_target("timm", backbone.arch), tmp_path, "weights")
    stages = result.proof["stages"]
    assert list(stages) == list(spec.stages)
    print(f"{arch:40s}" + "".join(f"{stage['max_abs_difference'] / stage['rms']:9.1e}" for stage in stages.values()))
    shapes = result.proof["images"]["shapes"]
    assert not spec.any_size or any(shape[2] != shape[3] for shape in shapes)


@pytest.mark.parametrize("arch", QUICK)
def test_features_are_those_of_timms_network(arch: str) -> None:
    spec, module = architecture.get(arch), build_network(arch).eval()
    timms = timm.create_model(arch, pretrained=False, num_classes=0).eval()
    timms.load_state_dict(module.state_dict(), strict=True)
    assert [name for name, _ in module.named_parameters()] == [name for name, _ in timms.named_parameters()]
    images = torch.randn(2, 3, *spec.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features, maps = module(images), module.forward_stages(images)
        assert torch.equal(features, timms(images))
    assert features.shape == (2, module.num_features)
    sizes = [tuple(-(-side // stride) for side in spec.image_size) for stride in spec.strides]
    expected = [(2, channels, *size) for channels, size in zip(spec.channels, sizes, strict=True)]
    assert [tuple(feature_map.shape) for feature_map in maps.values()] == expected
    assert list(maps) == list(spec.stages)


def test_a_plain_vit_pads_images_of_broken_patches() -> None:
    module = build_network("test_vit").eval()
    images = torch.randn(1, 3, 60, 90)
    padded = torch.nn.functional.pad(images, (0, 6, 0, 4))
    with torch.inference_mode():
        assert torch.equal(module(images), module(padded))
        assert module.forward_stages(images)["block6"].shape[-2:] == (4, 6)


def test_a_network_of_one_size_refuses_others_in_a_sentence() -> None:
    module = build_network("beit_base_patch16_224")
    with pytest.raises(UserError, match="takes images of 224x224 px only, not 96x96"):
        module(torch.zeros(1, 3, 96, 96))


def test_a_network_whose_maps_come_out_of_no_module_is_refused() -> None:
    with pytest.raises(UserError, match="timm's hrnet_w18_small has no modules that its feature maps come out of"):
        architecture.get("hrnet_w18_small")


def test_a_network_of_timm_is_classified_and_planned(digits: Path, tmp_path: Path) -> None:
    quick = ("labels_per_class=3", "l2_grid=0.1,10")
    outcome = task.run(make_trial("demo-linear", *quick, data=digits, work_dir=tmp_path, arch="test_vit"))
    assert outcome.arch == "test_vit"
    assert outcome.metrics["top1"].value > max(floor["top1"] for floor in outcome.references.values())
    assert of_backbone(BackbonePass("test_vit", 64)).products > 0


def test_a_random_network_of_timm_is_drawn_from_its_seed() -> None:
    first, again, other = (random_backbone("timm:test_vit", seed) for seed in (1, 1, 2))
    assert first.arch == "test_vit"
    assert torch.equal(first.state_dict["pos_embed"], again.state_dict["pos_embed"])
    assert not torch.equal(first.state_dict["pos_embed"], other.state_dict["pos_embed"])


def test_another_network_of_timm_is_refused(tmp_path: Path) -> None:
    path = saved("test_vit", tmp_path / "weights.pth")
    with pytest.raises(UserError):
        load_backbone(path, arch="vit_tiny_patch16_224")
    with pytest.raises(UserError, match="mmseg itself has no test_vit: convert it for timm, detectron2-any, mmseg-any"):
        get_target("mmseg", "test_vit")
