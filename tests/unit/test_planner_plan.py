"""What a plan says would run, is recorded, is missing and takes disk."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.report_records import done
from transfer import benchmarks
from transfer.commands.plan import PlanArgs
from transfer.planner.devices import Machine
from transfer.planner.disk import folder_bytes
from transfer.planner.history import gather
from transfer.planner.planning import PlannedTrials, Planner
from transfer.planner.show import as_json, duration, show, size
from transfer.trials.claim import take
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.states import ranges, state_of
from twist_common.errors import UserError
from twist_common.gpu_kinds import GpuArgs

CPU = Machine(device="cpu", name="cpu x86_64, 1 thread", num_devices=2)
MIB = 2**20


def trials(
    runs: Path, *names: str, sources: tuple[str, ...] = ("random:resnet18",), num_trials: int = 4
) -> list[TrialPlan]:
    return plan_trials(
        runs=runs,
        suite="demo",
        benchmarks=[benchmarks.get(name) for name in names],
        weights=[weights_ref(source, must_exist=False) for source in sources],
        seeds=range(num_trials),
        data=runs / "digits",
        must_exist=False,
    )


def record(plan: TrialPlan, wall_seconds: float = 30.0, **changes: object) -> None:
    found = done(
        50.0,
        seed=plan.seed,
        benchmark=plan.benchmark.name,
        protocol_version=plan.benchmark.protocol_version,
        wall_seconds=wall_seconds,
        inputs_sha256=plan.inputs_sha256,
    )
    (plan.trial_dir / "work" / "pictures").mkdir(parents=True)
    (plan.trial_dir / "work" / "pictures" / "0.png").write_bytes(bytes(2 * MIB))
    (plan.trial_dir / "work" / "last.pth").write_bytes(bytes(3 * MIB))
    dataclasses.replace(found, **changes).save(plan.record_path)  # type: ignore[arg-type]


def planned(runs: Path, plans: list[TrialPlan], machine: Machine = CPU, jobs: int = 0) -> PlannedTrials:
    return Planner(past_trials=gather([runs]), machine=machine, jobs=jobs).plan(plans)


def test_half_done_counts_the_other_half(tmp_path: Path) -> None:
    plans = trials(tmp_path, "demo-seg")
    record(plans[0], 20.0)
    record(plans[2], 40.0)
    plan = planned(tmp_path, plans)
    (row,) = plan.rows
    assert row.seeds == {"to run": (1, 3), "done": (0, 2)}
    assert row.num_to_run == 2 and row.estimate and row.estimate.device_seconds == 30.0
    assert (plan.device_seconds, plan.wall_seconds, plan.num_unknown) == (60.0, 30.0, 0)
    sizes = {item.what: item.num_bytes for item in row.disk}
    assert sizes["checkpoints"] == 2 * 3 * MIB and sizes["pictures"] == 2 * 2 * MIB and sizes["records"]


def test_a_trial_in_each_state_is_told_apart(tmp_path: Path) -> None:
    plans = trials(tmp_path, "demo-seg", num_trials=6)
    record(plans[0])
    record(plans[1], status="failed", metrics={}, error="out of memory")
    record(plans[2], inputs_sha256="0" * 64)
    plans[3].record_path.parent.mkdir(parents=True)
    plans[3].record_path.write_text("{")
    claim = take(plans[4].claim_path)
    assert claim is not None
    states = ["done", "failed", "other settings", "unreadable", "running", "to run"]
    assert [state_of(plan).name for plan in plans] == states
    row = planned(tmp_path, plans).rows[0]
    assert row.num_to_run == 2  # the failed one again
    claim.release()


def test_all_recorded_takes_nothing(tmp_path: Path) -> None:
    plans = trials(tmp_path, "demo-seg", num_trials=1)
    record(plans[0])
    plan = planned(tmp_path, plans)
    assert (plan.device_seconds, plan.wall_seconds, plan.num_unknown, plan.num_bytes) == (0.0, 0.0, 0, 0)


def test_what_is_unknown_is_no_number(tmp_path: Path) -> None:
    plans = trials(tmp_path, "demo-seg", "demo-voc", num_trials=2)
    record(plans[0])
    plan = planned(tmp_path, plans)
    assert plan.num_unknown == 2 and plan.device_seconds == 30.0
    assert json.loads(as_json(plan))["rows"][1]["device_seconds"] is None
    assert "of 2 trials unknown" in shown(plan) and "for the 1 whose time is known" in shown(plan)


def test_missing_data_and_checkpoints_are_named_with_who_wants_them(tmp_path: Path) -> None:
    plans = trials(tmp_path, "demo-seg", "demo-voc", sources=("nowhere/best.pth",), num_trials=1)
    plan = planned(tmp_path, plans)
    (checkpoint, data) = sorted(plan.missing)
    assert "nowhere/best.pth does not exist" in checkpoint and plan.missing[checkpoint] == ["best"]
    assert str(tmp_path / "digits") in data and "tools/demo_data.sh" in data
    assert plan.missing[data] == ["demo-seg", "demo-voc"]
    assert data in shown(plan)


def test_missing_real_data_come_with_where_they_are_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()  # there, but nothing of COCO in it
    (what,) = planned(tmp_path, trials(tmp_path, "coco", num_trials=1)).missing
    assert "nothing of the data set" in what and "train2017.zip" in what


def test_a_missing_list_of_labels_is_named(tmp_path: Path) -> None:
    plans = plan_trials(
        runs=tmp_path,
        suite="paper",
        benchmarks=[benchmarks.get("imagenet-1pct")],
        weights=[weights_ref("random:resnet50")],
        seeds=[0],
        labels=tmp_path / "1percent.txt",
        must_exist=False,
    )
    assert any("1percent.txt" in what for what in planned(tmp_path, plans).missing)


def test_weights_are_converted_once_for_all_benchmarks_and_for_each_random_seed(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    plans = trials(tmp_path, "demo-voc", "demo-coco", sources=(str(tmp_path / "w.pth"), "random:resnet18"))
    found = planned(tmp_path, plans).converted
    assert [item.num_bytes for item in found] == [4 * 11_186_132, 4 * 4 * 11_186_132]


def test_cached_features_are_counted_once_for_a_checkpoint_and_for_each_random_seed(tmp_path: Path) -> None:
    """CIFAR-10: 60,000 images, 512 features of a ResNet-18 in single precision."""
    source = weights_ref("random:resnet18").source
    plans = trials(tmp_path, "cifar10-linear", sources=(source,), num_trials=3)
    checkpoint = dataclasses.replace(plans[0].weights, source="w.pth", name="w", arch="resnet18")
    found = planned(tmp_path, [*plans, *(dataclasses.replace(plan, weights=checkpoint) for plan in plans)])
    sizes = [{item.what: item.num_bytes for item in row.disk}["feature cache"] for row in found.rows]
    assert sizes == [3 * 60_000 * 512 * 4, 60_000 * 512 * 4]


def test_dense_trials_share_all_gpus_and_classification_has_one_each(tmp_path: Path) -> None:
    machine = Machine(device="cuda", name="NVIDIA H200", num_devices=4)
    plans = trials(tmp_path, "demo-seg", "demo-linear", num_trials=5)
    record(plans[0], 100.0, device="NVIDIA H200 x 4")
    record(plans[5], 10.0, device="NVIDIA H200 x 1")
    plan = planned(tmp_path, plans, machine)
    assert [row.num_devices for row in plan.rows] == [4, 1]
    assert plan.device_seconds == 4 * 400.0 + 4 * 10.0
    assert plan.wall_seconds == 4 * 100.0 + 10.0


def shown(plan: PlannedTrials, *, terminal: bool = False) -> str:
    console = Console(width=200, force_terminal=terminal, record=True, file=io.StringIO())
    show(plan, console)
    return console.export_text()


@pytest.mark.parametrize("terminal", [False, True])
def test_both_forms_tell_seeds_time_source_and_disk(tmp_path: Path, terminal: bool) -> None:
    plans = trials(tmp_path, "demo-seg")
    record(plans[0], 7200.0)
    text = shown(planned(tmp_path, plans), terminal=terminal)
    for part in ("demo-seg", "3 to be run (seed 1-3)", "1 recorded (seed 0)", "2.0 h", "1 record of demo-seg", "MiB"):
        assert part in text
    assert "6 device-hours, 4.0 h by the clock" in text


def test_quantities_read_well() -> None:
    seconds = {None: "unknown", 1.234: "1.2 s", 45.2: "45 s", 120: "2.0 min", 7200: "2.0 h"}
    assert {value: duration(value) for value in seconds} == seconds
    assert [size(value) for value in (None, 2048, 3 * MIB, 5 << 30)] == ["unknown", "2 KiB", "3 MiB", "5.0 GiB"]
    assert ranges([5, 0, 1, 2]) == "0-2, 5"


def test_sizes_of_a_folder_are_by_kind(tmp_path: Path) -> None:
    for name, num_bytes in {"record.json": 1, "log.txt": 2, "work/a.pth": 4, "work/pictures/b.png": 8}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(num_bytes))
    assert folder_bytes(tmp_path) == {"records": 1, "logs and the rest": 2, "checkpoints": 4, "pictures": 8}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (PlanArgs(probe=True), "--probe is for a plan"),
        (PlanArgs(kind=GpuArgs(gpu="h100")), "--gpu is for a plan"),
        (PlanArgs(plan=True, probe=True, kind=GpuArgs(gpu="h100")), "--probe measures this machine"),
        (PlanArgs(plan=True, from_runs=(Path("nowhere"),)), "--from nowhere"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(args: PlanArgs, says: str) -> None:
    with pytest.raises(UserError, match=says):
        args.check()
