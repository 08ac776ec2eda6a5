"""Whether a step of a protocol fits into a GPU, as plans say it, against what trials do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.detection_configs import trial
from tests.unit.test_planner_estimate import work_of
from tests.unit.test_planner_plan import planned, shown, trials
from tests.unit.test_planner_work import OF_DETECTION, OF_SEGMENTATION
from transfer import benchmarks
from transfer.planner.devices import machine
from transfer.planner.memory import GIB, PlannedMemory, planned_memory
from transfer.planner.show import as_json
from transfer.tasks import network_cost
from transfer.tasks.detection.accumulation import memory_of
from transfer.tasks.detection.config import resolve_config
from transfer.tasks.segmentation import config as segmentation
from transfer.tasks.segmentation import work as segmentation_work
from transfer.tasks.segmentation.any_arch import fit
from transfer.weights.backbone.types import IMAGENET
from transfer.weights.convert.mmseg_any import settings
from transfer.work import StepMemory
from twist_common.gpu_kinds import GPUS

FOUR = StepMemory(batch_size=16, image_bytes=4 * GIB, has_batch_norm=True, is_divisible=True)


def planned_for(name: str, gib: float, num_gpus: int = 1, arch: str | None = "resnet50") -> PlannedMemory:
    memory = work_of(name, arch=arch).memory
    assert memory is not None
    needed = network_cost.image_bytes(memory)
    return planned_memory(memory, image_bytes=needed, num_gpus=num_gpus, gpu_bytes=round(gib * GIB))


@pytest.mark.parametrize("name", OF_DETECTION)
def test_a_detection_plan_knows_the_memory_of_the_config_that_detectron2_builds(name: str) -> None:
    cfg = resolve_config(trial(name))
    cfg.defrost()
    cfg.MODEL.NETWORK.ARCH = "resnet50"
    memory = work_of(name, arch="resnet50").memory
    assert memory is not None and memory == memory_of(cfg)
    assert memory.batch_size == cfg.SOLVER.IMS_PER_BATCH


@pytest.mark.parametrize("arch", ["resnet50", "vit_small_patch14_dinov2"])
@pytest.mark.parametrize("name", OF_SEGMENTATION)
def test_a_segmentation_plan_knows_the_memory_of_the_config_that_is_fitted_to_weights(name: str, arch: str) -> None:
    config, _ = segmentation.resolve_config(segmentation.load_protocol(benchmarks.get(name).config_path))
    fit(config, arch, settings(arch, IMAGENET))
    assert work_of(name, arch=arch).memory == segmentation_work.step_memory(config, arch)


@pytest.mark.parametrize(
    ("num_gpus", "gib", "parts", "norm_batch", "on_protocol", "whole_on"),
    [
        (8, 24, 1, 16, True, None),
        (1, 80, 1, 16, True, None),
        (1, 24, 4, 4, False, 4),
        (4, 10, 2, 8, False, 8),
        (1, 5, 16, 1, False, 16),
        (1, 4, 0, None, True, None),  # not even one image fits
        (3, 80, 0, None, True, None),  # which cannot share a batch of 16
    ],
)
def test_parts_and_the_norms_batch_follow_from_the_gpus(
    num_gpus: int, gib: float, parts: int, norm_batch: int | None, on_protocol: bool, whole_on: int | None
) -> None:
    found = planned_memory(FOUR, image_bytes=4 * GIB, num_gpus=num_gpus, gpu_bytes=round(gib * GIB))
    assert (found.parts, found.norm_batch, found.on_protocol, found.whole_on) == (
        parts,
        norm_batch,
        on_protocol,
        whole_on,
    )
    assert bool(found.problem) == (parts == 0)


def test_the_protocols_of_the_paper_fit_as_they_are_on_eight_v100() -> None:
    """The GPUs that their published figures are from; on one of them, batch norm sees a part of the batch."""
    gib = GPUS["v100"].memory_gib
    for name in ("voc", "coco", "voc-c4", "seg-voc", "seg-cityscapes"):
        assert planned_for(name, gib, 8).parts == 1, name
    assert str(planned_for("voc", gib)) == (
        "about 16.0 of 32 GiB: 16 images a step, in 4 parts of 4; batch norm sees 4 of 16, which is off protocol: "
        "4 of these GPUs keep it whole"
    )
    assert planned_for("seg-voc-frozen", 8).on_protocol


def test_classification_is_divided_by_its_protocol_alone() -> None:
    tuned = planned_for("imagenet-1pct", 16)
    assert (tuned.parts, tuned.norm_batch, tuned.on_protocol) == (8, 32, True)
    assert str(tuned).endswith("256 images a step, in 8 parts of 32; batch norm sees 32, as in the protocol")
    assert planned_for("imagenet-1pct", 16, arch="vit_base").norm_batch is None
    small = planned_for("imagenet-1pct", 4)
    assert small.parts == 0 and "use one of at least 5 GiB" in str(small)
    heads, clusters = planned_for("imagenet-linear", 24), planned_for("imagenet-cluster", 8)
    assert heads.norm_batch is None and clusters.norm_batch is None
    assert (heads.parts, clusters.parts) == (1, 1)
    assert planned_for("imagenet-linear", 8).problem


def test_a_forward_pass_holds_a_few_maps_where_training_keeps_them_all() -> None:
    stem = 4 * 64 * 112 * 112  # the largest maps of a ResNet-50: convolution, norm and activation, and the pooled one
    assert 3 * stem < network_cost.forward_bytes("resnet50", 224, 224) < 5 * stem
    assert network_cost.activation_bytes("resnet50", 224, 224) > 20 * stem


def test_a_plan_says_whether_the_batch_fits(tmp_path: Path) -> None:
    for gpu, words in (
        ("v100", "in 4 parts of 4; batch norm sees 4 of 16"),
        ("h100", "at once; batch norm sees 16, as"),
    ):
        target = machine("cpu", jobs=0, gpu=GPUS[gpu], gpus=1)
        plan = planned(tmp_path, trials(tmp_path, "voc", sources=("random:resnet50",), num_trials=1), target)
        assert words in shown(plan)
        (row,) = json.loads(as_json(plan))["rows"]
        assert row["memory"]["batch_size"] == 16 and row["memory"]["on_protocol"] == (gpu == "h100")
    assert "memory" not in shown(planned(tmp_path, trials(tmp_path, "demo-seg", num_trials=1))), "CPU"
