"""Any architecture in MMSegmentation: a proved conversion, a training step, and whole trials."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from tests.backbones import trained_like
from tests.integration.test_segmentation_full_width import NO_WARMUP, SMALL, cityscapes, voc
from tests.timm_networks import TABLE, saved
from transfer import benchmarks
from transfer.preflight.weights import check_architectures
from transfer.record import TrialRecord
from transfer.task import task_of
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import load_protocol
from transfer.tasks.segmentation.extensions import register_extensions
from transfer.tasks.segmentation.hooks import VerifyBackbone
from transfer.tasks.segmentation.runner import replace_sync_bn
from transfer.trials.plan import plan_trials, weights_ref
from transfer.trials.run_one import run_trial
from transfer.weights.backbone import Backbone, load_backbone
from transfer.weights.backbone.architecture import get
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.convert.convert import Converted, convert, get_target
from transfer.weights.convert.target import ConversionError
from transfer.weights.of_trial import arch_of
from twist_common.overrides import last_of_each

pytestmark = pytest.mark.usefixtures("mmengine_on_one_thread")

OURS = ("resnet18", "resnet101", "resnet50w2", "deit_small", "vit_base")
# Crops and windows that are not of whole patches.
BROKEN_PATCHES = {
    "seg-cityscapes-any": (
        "model.data_preprocessor.size=60,60",
        "train_dataloader.dataset.pipeline.3.crop_size=60,60",
        "model.test_cfg.crop_size=60,60",
    )
}
HANDFUL = ("resnet18", "test_vit", "convnext_atto", "resnet10t")


@pytest.mark.parametrize("arch", [*OURS, *TABLE] if os.environ.get("TIMM_TABLE") else HANDFUL)
def test_any_network_is_loaded_proved_converted_and_takes_a_training_step(arch: str, tmp_path: Path) -> None:
    if arch in OURS:
        backbone = trained_like(arch)
    else:
        backbone = load_backbone(f"timm:{arch}@{saved(arch, tmp_path / 'weights.pth')}")
    spec = get(arch)
    fixed = isinstance(spec, TimmSpec) and not spec.any_size
    result = convert(backbone, get_target("mmseg-any", backbone.arch), tmp_path, "weights")

    stages = result.proof["stages"]
    assert list(stages) == list(spec.stages)
    assert max(stage["max_abs_difference"] for stage in stages.values()) == 0.0
    assert fixed or any(height != width for *_, height, width in result.proof["images"]["shapes"])
    file = torch.load(result.path, weights_only=True)["state_dict"]
    dropped = [key for keys in result.proof["keys_dropped"].values() for key in keys]
    kept = {f"network.{key}": value for key, value in backbone.state_dict.items() if key not in dropped}
    assert file.keys() == kept.keys() and all(torch.equal(file[key], value) for key, value in kept.items())

    loss = training_step(result, spec.image_size[0] if fixed else 4 * max(spec.strides))
    differences = [f"{stage['max_abs_difference'] / stage['rms']:.1e}" for stage in stages.values()]
    kind = "pyramid" if spec.is_pyramid else f"plain, stride {spec.strides[0]}"
    print(f"| {arch} | {kind} | {' | '.join(differences[-4:])} | {loss:.2f} |")


def training_step(result: Converted, side: int) -> float:
    """One of the protocol's, on two small images; returns the loss."""
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    config = load_protocol(benchmarks.get("seg-voc-any").config_path)
    config.model.data_preprocessor.size = (side, side)
    fit(config, result.arch, result.proof["settings"])
    config.model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": str(result.path)}
    replace_sync_bn(config.model)
    register_extensions()
    with DefaultScope.overwrite_default_scope("mmseg"):
        model: Any = MODELS.build(config.model)
        model.init_weights()
        optimizer = build_optim_wrapper(model, config.optim_wrapper)
    VerifyBackbone(result.path).verify(model.backbone)

    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 21, (2, 1, side, side), generator=generator)
    images = list(torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=generator))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks]
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    logged = model.train().train_step({"inputs": images, "data_samples": samples}, optimizer)
    moved = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"backbone", "neck", "decode_head"}
    # parameters nearest to the image learn most slowly, those of the head at the protocol's rate
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.optimizer.param_groups for p in group["params"]}
    of_backbone = [rate for name, rate in rates.items() if name.startswith("backbone.")]
    assert rates.keys() == before.keys()
    assert rates[next(iter(before))] == min(of_backbone) < max(of_backbone) < rates["decode_head.conv_seg.weight"]
    assert rates["decode_head.conv_seg.weight"] == 1e-4
    with torch.no_grad():
        widths = [feature_map.shape[-1] for feature_map in model.eval().extract_feat(torch.zeros(1, 3, side, side))]
    assert widths == [widths[0] // 2**level for level in range(4)], "each map has half the side of the one before"
    assert math.isfinite(logged["loss"].item())
    return float(logged["loss"])


def test_another_network_in_the_file_is_caught(tmp_path: Path) -> None:
    backbone, target = trained_like("resnet18"), get_target("mmseg-any", "resnet18")

    def write(path: Path, tensors: dict[str, torch.Tensor], backbone: Backbone) -> None:
        target.write(path, {name: 1.001 * value if value.ndim else value for name, value in tensors.items()}, backbone)

    with pytest.raises(ConversionError, match="the features of stem differ"):
        convert(backbone, replace(target, write=write), tmp_path, "weights")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "layout", "arch", "neck"),
    [
        ("seg-voc-any", voc, "convnext_atto", "FPN"),
        ("seg-cityscapes-any", cityscapes, "test_vit", "Feature2Pyramid"),
    ],
)
def test_a_small_network_of_timm_goes_to_a_record_with_miou(
    name: str, layout: Callable[[Path], tuple[str, ...]], arch: str, neck: str, tmp_path: Path
) -> None:
    overrides = last_of_each((*SMALL, *NO_WARMUP, *layout(tmp_path / "data"), *BROKEN_PATCHES.get(name, ())))
    (plan,) = plan_trials(
        runs=tmp_path / "runs",
        suite="transfer",
        benchmarks=[benchmarks.get(name)],
        weights=[weights_ref(f"timm:{arch}@{saved(arch, tmp_path / 'weights.pth')}")],
        seeds=[0],
        data=tmp_path / "data",
        overrides=overrides,
    )
    check_architectures([plan])
    work = task_of(plan.benchmark).planned_work(plan, arch_of(plan.weights))
    assert (work.arch, [phase.what for phase in work.phases]) == (arch, ["training", "testing"])
    run_trial(plan, lambda *step: None)
    record = TrialRecord.load(plan.record_path)
    assert (record.benchmark, record.status, record.weights.arch) == (name, "done", arch)
    assert 0 <= record.metrics["miou"].value <= 100
    model = json.loads(record.resolved_config)["model"]
    assert (model["backbone"]["type"], model["backbone"]["arch"], model["neck"]["type"]) == ("AnyBackbone", arch, neck)
    assert model["data_preprocessor"]["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert not [line for line in record.protocol_difference if "backbone" in line or "neck" in line]
    recorded = task_of(plan.benchmark).recorded_work(record, plan.benchmark)
    assert (recorded.arch, recorded.phases) == (work.arch, work.phases)
    assert len(list((plan.weights_dir / "mmseg-any").glob("*.mmseg-any.pth"))) == 1
