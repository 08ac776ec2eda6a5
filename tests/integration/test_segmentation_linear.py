"""Linear probes in DINOv2's form, and ADE20K: from the check of the data to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from tests.backbones import trained_like
from tests.integration.test_segmentation_full_width import NO_WARMUP, SMALL, ade20k, cityscapes, voc
from tests.walks import walk
from transfer import benchmarks
from transfer.weights.backbone import random_backbone
from transfer.weights.convert.convert import convert, get_target

pytestmark = pytest.mark.usefixtures("mmengine_on_one_thread")

LAST_FOUR = [f"block{number}-norm" for number in (3, 4, 5, 6)]  # of test_vit


def test_the_last_four_blocks_of_a_plain_network_are_proved_through_the_last_norm(tmp_path: Path) -> None:
    backbone = random_backbone("test_vit", seed=0)
    result = convert(backbone, get_target("mmseg-last", backbone.arch), tmp_path, "weights")
    assert list(result.proof["stages"]) == LAST_FOUR
    assert max(stage["max_abs_difference"] for stage in result.proof["stages"].values()) == 0.0
    assert "network.norm.weight" in torch.load(result.path, weights_only=True)["state_dict"]
    # through the norm, each token has mean 0 and deviation 1; the quarters that other protocols read have not
    assert all(stage["rms"] == pytest.approx(1.0, abs=1e-3) for stage in result.proof["stages"].values())


def test_the_stages_of_a_pyramid_are_proved_as_for_other_protocols(tmp_path: Path) -> None:
    backbone = trained_like("resnet18")
    proofs = [
        convert(backbone, get_target(name, backbone.arch), tmp_path, "weights").proof
        for name in ("mmseg-any", "mmseg-last")
    ]
    assert proofs[0]["stages"] == proofs[1]["stages"] and proofs[0]["keys_mapped"] == proofs[1]["keys_mapped"]


@pytest.mark.parametrize(
    ("name", "arch", "layout", "channels"),
    [
        ("seg-ade20k-linear", "test_vit", ade20k, [64]),
        ("seg-voc-linear", "test_vit", voc, [64]),
        ("seg-cityscapes-linear4", "resnet10t", cityscapes, [64, 128, 256, 512]),
        ("seg-ade20k", "resnet50", ade20k, [256] * 4),
        ("seg-ade20k-frozen", "resnet50", ade20k, [256, 512, 1024, 2048]),
    ],
)
def test_a_fixture_in_the_true_layout_goes_through_doctor_plan_trial_and_report(
    name: str,
    arch: str,
    layout: Callable[[Path], tuple[str, ...]],
    channels: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tmp_path / "data"
    overrides = (*SMALL, *layout(data), *(NO_WARMUP if benchmarks.get(name).arch is None else ()))
    record, text = walk(name, arch, data, overrides, tmp_path / "runs")
    head = json.loads(record.resolved_config)["model"]["decode_head"]
    assert head["in_channels"] == channels
    assert not [line for line in record.protocol_difference if line.startswith(("model.backbone", "model.decode_head"))]
    assert ("arXiv:2304.07193" in text) == name.endswith("-linear")
