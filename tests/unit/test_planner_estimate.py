"""What a plan makes of recorded trials, against sums done by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.report_records import done, failed
from transfer import benchmarks
from transfer.planner.devices import Machine, machine, recorded_device
from transfer.planner.estimate import Estimate, Question, assumptions, estimate, gpu_seconds, measured_seconds, unknown
from transfer.planner.history import PastTrial, gather
from transfer.task import task_of
from transfer.tasks.costs import COSTS
from transfer.tasks.segmentation import config as segmentation
from transfer.trial import TrialSettings, WeightsRef
from transfer.work import BackbonePass, Flop, Phase, Work
from twist_common.errors import UserError
from twist_common.gpu_kinds import GPUS, GpuArgs

CPU = Machine(device="cpu", name="cpu x86_64, 1 thread", num_devices=2)
H100 = Machine(device="cuda", name="NVIDIA H100 80GB HBM3", num_devices=8)


def work_of(name: str, *overrides: str, rescale: int | None = None, arch: str | None = None) -> Work:
    settings = TrialSettings(
        benchmark=benchmarks.get(name),
        weights=WeightsRef(name="w", source="w.pth", sha256="0" * 64),
        seed=0,
        data=Path("nowhere"),
        overrides=overrides,
        device="cpu",
        rescale=rescale,
    )
    return task_of(settings.benchmark).planned_work(settings, arch)


def question(name: str, *overrides: str, machine: Machine = CPU) -> Question:
    work = work_of(name, *overrides)
    return Question(
        benchmark=benchmarks.get(name),
        on_protocol=not overrides,
        work=work,
        machine=machine,
        num_devices=machine.num_devices,
    )


def past(wall_seconds: float, **changes: Any) -> PastTrial:
    return PastTrial(done(50.0, wall_seconds=wall_seconds, **changes), Path("nowhere"))


def segmented(wall_seconds: float, name: str = "demo-seg", iterations: int = 30) -> PastTrial:
    """A recorded segmentation: four images in each iteration, 100 test images."""
    overrides = [] if iterations == 30 else [f"train_cfg.max_iters={iterations}"]
    config, difference = segmentation.resolve_config(
        segmentation.load_protocol(benchmarks.get(name).config_path), overrides
    )
    resolved_config = segmentation.dump(config)
    return past(wall_seconds, benchmark=name, resolved_config=resolved_config, protocol_difference=difference)


def classified(arch: str) -> Work:
    phase = Phase(what="features", num_images=1000, trains=False, cost=BackbonePass(arch, 64))
    return Work(arch=arch, phases=(phase,))


def test_recorded_trials_of_the_same_benchmark_give_their_median_and_range() -> None:
    found = estimate(question("demo-seg"), [past(30.0), past(10.0), past(11.0)])
    assert (found.kind, found.device_seconds, found.low, found.high) == ("recorded", 11.0, 10.0, 30.0)
    assert found.source == "median of 3 records of demo-seg on cpu x86_64, 1 thread"


def test_one_record_has_no_range() -> None:
    found = estimate(question("demo-seg"), [past(30.0)])
    assert (found.device_seconds, found.low, found.high) == (30.0, None, None)
    assert found.source == "1 record of demo-seg on cpu x86_64, 1 thread"


@pytest.mark.parametrize(
    "other",
    [
        {"device": "NVIDIA H100 80GB HBM3 x 8"},
        {"device": "cpu x86_64, 2 threads"},
        {"protocol_version": 0},
    ],
)
def test_records_of_other_devices_and_other_protocols_say_nothing(other: dict[str, Any]) -> None:
    assert estimate(question("demo-seg"), [past(30.0, **other)]) == unknown()


def test_unknown_stays_unknown() -> None:
    found = estimate(question("demo-seg"), [])
    assert found == unknown() and found.device_seconds is None and found.source == "unknown, give --probe"


def test_devices_of_a_record_count_and_several_gpus_multiply_its_time() -> None:
    assert recorded_device(done(1.0, device="NVIDIA H200 x 8")) == ("NVIDIA H200", 8)
    assert recorded_device(done(1.0, device="cpu x86_64, 1 thread")) == ("cpu x86_64, 1 thread", 1)
    record = past(100.0, device="NVIDIA H100 80GB HBM3 x 8")
    assert estimate(question("demo-seg", machine=H100), [record]).device_seconds == 800.0


def test_a_named_gpu_finds_its_records_by_name() -> None:
    machine = Machine(device="cuda", name="A100 80GB", num_devices=8, gpu=GPUS["a100-80gb"])
    names = {"NVIDIA A100-SXM4-80GB": True, "NVIDIA A100-SXM4-40GB": False, "NVIDIA H100 80GB HBM3": False}
    assert {name: machine.is_kind_of(name) for name in names} == names


def test_a_longer_training_is_scaled_by_its_images() -> None:
    """30 iterations are 120 training and 100 test images, 90 are 360 and 100: 23 x (3 x 360 + 100) / 460."""
    found = estimate(question("demo-seg", "train_cfg.max_iters=90"), [segmented(23.0)])
    assert found.kind == "recorded, scaled" and found.device_seconds == pytest.approx(59.0)
    assert found.source.endswith("scaled by images")


def test_records_of_the_same_length_win_over_scaled_ones() -> None:
    found = estimate(question("demo-seg", "train_cfg.max_iters=90"), [segmented(23.0), segmented(50.0, iterations=90)])
    assert (found.kind, found.device_seconds) == ("recorded", 50.0)


def test_another_benchmark_of_the_task_is_scaled_by_operations() -> None:
    whole, frozen = COSTS["demo-seg"], COSTS["demo-seg-frozen"]
    ratio = (120 * frozen.train.total + 100 * frozen.test.total) / (120 * whole.train.total + 100 * whole.test.total)
    found = estimate(question("demo-seg-frozen"), [segmented(100.0)])
    assert found.kind == "recorded, scaled" and found.device_seconds == pytest.approx(100.0 * ratio)
    assert "demo-seg" in found.source and found.source.endswith("scaled by FLOP")


def test_records_of_another_task_say_nothing() -> None:
    assert estimate(question("demo-voc"), [segmented(100.0)]) == unknown()


def test_another_architecture_is_scaled_by_operations_and_not_taken_as_equal() -> None:
    known = past(10.0, benchmark="demo-linear")
    known.__dict__["work"] = classified("resnet18")
    wanted = Question(
        benchmark=benchmarks.get("demo-linear"),
        on_protocol=True,
        work=classified("resnet50"),
        machine=CPU,
    )
    found = estimate(wanted, [known])
    assert found.kind == "recorded, scaled" and found.device_seconds is not None
    assert 10.0 * 2 < found.device_seconds < 10.0 * 2.5  # 4.09 against 1.81 GMAC at 224 pixels


def test_a_model_setting_is_never_scaled_from_records_of_the_protocol() -> None:
    record = past(
        10.0, benchmark="demo-voc", resolved_config=json.dumps(detection_config(200)), metrics=done(1.0).metrics
    )
    assert estimate(question("demo-voc", "MODEL.ROI_BOX_HEAD.FC_DIM=512"), [record]) == unknown()
    found = estimate(question("demo-voc", "SOLVER.MAX_ITER=500"), [record])
    assert found.device_seconds == pytest.approx(10.0 * (3 * 1000 + 100) / (3 * 400 + 100))


def detection_config(iterations: int) -> dict[str, Any]:
    return {
        "SOLVER": {"MAX_ITER": iterations, "IMS_PER_BATCH": 2, "CHECKPOINT_PERIOD": 1000},
        "DATASETS": {"TEST": ["digits_voc_2007_test"]},
        "MODEL": {
            "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 0},
            "RESNETS": {"DEPTH": 18},
            "ROI_HEADS": {"IN_FEATURES": ["p2"]},
        },
    }


def test_a_probe_goes_before_other_benchmarks_and_after_records_of_the_same() -> None:
    measured = Estimate(kind="probe", device_seconds=5.0, source="probe")
    asked = question("demo-seg-frozen")
    assert estimate(asked, [segmented(70.0)], lambda: measured) == measured
    same = past(3.0, benchmark="demo-seg-frozen")
    assert estimate(asked, [same], lambda: measured).device_seconds == 3.0


def test_a_probe_that_failed_says_why_where_nothing_else_is_known() -> None:
    failed = Estimate(kind="unknown", device_seconds=None, source="unknown, the probe failed: no such thing")
    assert estimate(question("demo-seg"), [], lambda: failed) == failed


def test_the_gpu_table_is_asked_for_by_name_and_says_what_it_assumes() -> None:
    assert estimate(question("voc", machine=H100), []) == unknown()
    named = Machine(device="cuda", name="H100 80GB", num_devices=8, gpu=GPUS["h100"])
    found = estimate(question("voc", machine=named), [])
    assert found.kind == "GPU table" and found.low and found.high and found.device_seconds
    assert found.device_seconds == pytest.approx((found.low * found.high) ** 0.5)
    assert found.source.startswith("estimate: ") and "assumed" in found.source
    said = assumptions(named)
    assert "50.4 of 494 TFLOP/s" in said and "at worst the speed of a V100" in said and "not measured" in said


def test_one_gpu_with_a_dense_trials_whole_batch_is_planned_as_one_was_measured() -> None:
    """Steps of 16 images of ``voc`` took 400 ms on an H100: 24,000 are 2.7 hours."""
    named = Machine(device="cuda", name="H100 80GB", num_devices=1, gpu=GPUS["h100"])
    found = estimate(question("voc", machine=named), [])
    assert found.low and found.device_seconds == pytest.approx(found.low / 0.8)
    assert found.device_seconds / 3600 == pytest.approx(24_000 * 0.4 / 3600, rel=0.1)
    linear = dataclasses.replace(
        question("imagenet-linear", machine=named), work=work_of("imagenet-linear", arch="resnet50")
    )
    classifier = estimate(linear, [])
    assert classifier.low and classifier.high
    assert classifier.device_seconds == pytest.approx((classifier.low * classifier.high) ** 0.5)
    v100 = estimate(question("voc", machine=dataclasses.replace(named, gpu=GPUS["v100"])), [])
    assert v100.device_seconds == v100.low == v100.high


def test_a_named_gpu_with_nothing_counted_is_unknown_and_no_probe_is_offered() -> None:
    named = Machine(device="cuda", name="H100 80GB", num_devices=8, gpu=GPUS["h100"])
    found = estimate(question("voc", "MODEL.ROI_BOX_HEAD.NUM_CONV=2", machine=named), [])
    assert found.device_seconds is None and "--from" in found.source and "--probe" not in found.source


def test_gpu_seconds_by_hand() -> None:
    # V100: 57 % of 15.7 TFLOP/s for all; A100: 15 % of 156 for convolutions, 57 % of 19.5 for products.
    fast, slow = gpu_seconds(Flop(1e15, 1e15), GPUS["a100"])
    assert fast == pytest.approx(1000 / (0.15 * 156) + 1000 / (0.57 * 19.5))
    assert slow == pytest.approx(2000 / (0.57 * 15.7))
    assert gpu_seconds(Flop(1e15, 1e15), GPUS["v100"]) == pytest.approx((slow, slow))
    assert all(gpu_seconds(Flop(1e15, 1e15), gpu)[0] <= slow * 1.0001 for gpu in GPUS.values())


def test_convolutions_are_no_faster_than_the_bandwidth_feeds_them() -> None:
    a100, h100 = (gpu_seconds(Flop(1e15, 0.0), GPUS[name])[0] for name in ("a100", "h100"))
    assert a100 / h100 == pytest.approx(3350 / 1555)  # 494 / 156 by arithmetic alone


def test_a_measured_efficiency_takes_the_place_of_what_is_assumed() -> None:
    named = Machine(device="cuda", name="H100 80GB", num_devices=8, gpu=GPUS["h100"], efficiency=0.1)
    found = estimate(question("voc", machine=named), [])
    assert found.low is None and "10 % of one H100 80GB (--efficiency)" in found.source
    assert measured_seconds(Flop(1e15, 1e15), GPUS["h100"], 0.1) == pytest.approx(1000 / 49.4 + 1000 / 6.7)
    assert "as measured" in assumptions(named) and "V100" not in assumptions(named)


def test_any_gpu_can_be_described() -> None:
    gpu = GpuArgs(tflops=400, gpu_memory=24, bandwidth=2000).resolved()
    assert gpu is not None and (gpu.memory_gib, gpu.tf32_tflops, gpu.fp32_tflops) == (24, 200, 25)
    here = machine("cpu", jobs=0, gpu=gpu, gpus=None)
    assert not here.is_kind_of("NVIDIA H100 80GB HBM3") and estimate(question("voc", machine=here), []).device_seconds


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gpu": "h10"}, "unknown GPU 'h10': did you mean 'h100'"),
        ({"gpu": "h100", "tflops": 400.0}, "give one"),
        ({"tflops": 400.0, "bandwidth": 2000.0}, "described by all of --tflops, --gpu-memory and --bandwidth"),
        ({"gpu": "h100", "efficiency": 1.5}, "--efficiency is 1.5: it is the share of the peak"),
        ({"gpu": "h100", "efficiency": 0.0}, "--efficiency is 0.0: it has to be over 0"),
        ({"tflops": math.nan, "gpu_memory": 24.0, "bandwidth": 2000.0}, "--tflops is nan"),
    ],
)
def test_a_gpu_that_is_not_one_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        GpuArgs(**options).resolved()


def test_failed_and_broken_records_teach_nothing(tmp_path: Path) -> None:
    for number, text in enumerate([done(1.0).to_text(), "{", failed(seed=1).to_text()]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "record.json").write_text(text)
    assert [found.record.seed for found in gather([tmp_path, tmp_path])] == [0]
