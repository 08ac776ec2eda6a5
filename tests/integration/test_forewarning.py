"""What is not on protocol is said before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from tests.conftest import run_module, run_program
from transfer import benchmarks
from transfer.preflight import settings
from transfer.preflight.check import CanaryArgs, check_before_trials, wants_other_data
from transfer.preflight.settings import forewarnings
from transfer.record import Metric
from transfer.task import task_of
from transfer.trial import Outcome
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.run_one import make_record
from twist_common.errors import UserError

DET_BATCH, SEG_BATCH = "SOLVER.IMS_PER_BATCH", "train_dataloader.batch_size"


def make_plan(name: str, data: Path, runs: Path, *overrides: str, rescale: int | None = None) -> TrialPlan:
    (plan,) = plan_trials(
        runs=runs,
        suite="demo",
        benchmarks=[benchmarks.get(name)],
        weights=[weights_ref("random:resnet18")],
        seeds=[0],
        data=data,
        overrides=overrides,
        rescale=rescale,
    )
    return plan


def forewarning(plan: TrialPlan) -> str | None:
    """As the preflight says it, with the framework in this process."""
    foreseen = task_of(plan.benchmark).foresee(plan.trial())
    assert foreseen is not None
    return settings.forewarning(plan, foreseen)


@pytest.mark.parametrize(("name", "key"), [("voc", DET_BATCH), ("coco", DET_BATCH), ("seg-voc", SEG_BATCH)])
def test_half_the_batch_is_named_with_the_option_that_labels_it(name: str, key: str, tmp_path: Path) -> None:
    assert forewarning(make_plan(name, tmp_path, tmp_path, f"{key}=8")) == (
        f"warning: {name}, random-resnet18: off protocol: {key}: 16 -> 8; with --rescale 8 the schedule goes with it"
    )


@pytest.mark.parametrize("name", ["voc", "seg-voc", "demo-voc-frozen", "demo-seg-frozen"])
def test_what_is_on_protocol_needs_no_word(name: str, tmp_path: Path) -> None:
    assert forewarning(make_plan(name, tmp_path, tmp_path)) is None


@pytest.mark.parametrize("name", ["voc", "seg-voc"])
def test_a_rescaled_trial_is_called_that_and_offered_nothing(name: str, tmp_path: Path) -> None:
    line = forewarning(make_plan(name, tmp_path, tmp_path, rescale=8))
    assert line is not None
    assert line.startswith(f"warning: {name}, random-resnet18: rescaled: rescaled from batch 16 to 8; ")
    assert "--rescale" not in line


def test_a_rescaled_trial_with_another_change_is_off_protocol_and_not_told_to_rescale(tmp_path: Path) -> None:
    line = forewarning(make_plan("voc", tmp_path, tmp_path, "SOLVER.MAX_ITER=100", rescale=8))
    assert line is not None
    assert ": off protocol: " in line and "SOLVER.MAX_ITER: 24000 -> 100" in line
    assert "--rescale" not in line


def test_a_bad_override_is_refused_by_the_process_that_foresees(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown .* 'batch_sizes'"):
        forewarnings([make_plan("demo-seg", tmp_path, tmp_path, "train_dataloader.batch_sizes=2")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "bench", "overrides", "named"),
    [
        (
            "transfer.commands.transfer_det",
            "demo-voc",
            (f"{DET_BATCH}=4", "DATASETS.TRAIN=('nowhere',)"),
            f"; {DET_BATCH}: 2 -> 4; with --rescale 4 the schedule goes with it",
        ),
        (
            "transfer.commands.transfer_seg",
            "demo",
            (f"{SEG_BATCH}=2", "train_dataloader.dataset.data_root=nowhere"),
            f": {SEG_BATCH}: 4 -> 2; ",
        ),
    ],
)
def test_command_warns_although_its_first_trial_is_then_refused_for_want_of_data(
    module: str, bench: str, overrides: tuple[str, ...], named: str, digits: Path, tmp_path: Path
) -> None:
    arguments = (bench, "random:resnet18", *overrides, "--trials", "1", "--data", digits, "--device", "cpu")
    done = run_module(module, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    warning, *_, refusal = done.stderr.splitlines()
    assert warning.startswith("warning: demo-") and ": off protocol: " in warning and named in warning
    assert refusal.startswith("error: ") and "nowhere" in refusal
    assert not list(tmp_path.rglob("record.json"))


def test_finished_trials_are_skipped_without_a_word_and_without_a_framework(digits: Path, tmp_path: Path) -> None:
    plan = make_plan("demo-seg", digits, tmp_path / "runs", f"{SEG_BATCH}=2")
    outcome = Outcome(metrics={"miou": Metric(value=50.0)}, resolved_config="{}", arch="resnet18", source_format="ours")
    make_record(plan, outcome=outcome, error=None, wall_seconds=1.0).save(plan.record_path)
    program = (
        "import sys; from twist_common import cli; from transfer.commands.transfer_seg import Args, COMMAND, main\n"
        "def watched(args):\n"
        "    code = main(args)\n"
        "    print('loaded:', sorted({'torch', 'mmengine'} & set(sys.modules)))\n"
        "    return code\n"
        "if __name__ == '__main__': cli.run(Args, watched, prog=COMMAND)"
    )
    (tmp_path / "program.py").write_text(program)
    arguments = ("demo", "random:resnet18", f"{SEG_BATCH}=2", "--trials", "1", "--data", digits, "--device", "cpu")
    done = run_program(tmp_path / "program.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 trials are recorded" in done.stdout and "loaded: []" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "override", "wants"),
    [
        ("voc", "DATASETS.TEST=('voc_2007_test',)", False),
        ("voc", "DATASETS.TEST=('voc_2012_trainval',)", True),
        ("seg-voc", "num_images.test=1449", False),
        ("seg-voc", "num_images.test=20", True),
    ],
)
def test_only_other_data_than_the_protocols_switch_off_the_count(
    name: str, override: str, wants: bool, tmp_path: Path
) -> None:
    plans = [make_plan(name, tmp_path, tmp_path, override)]
    assert wants_other_data(plans, plans[0]) is wants


def test_a_misspelt_setting_is_named_though_there_is_a_record_of_other_settings(tmp_path: Path) -> None:
    done = make_plan("demo-1pct", tmp_path, tmp_path)
    outcome = Outcome(metrics={"top1": Metric(value=50.0)}, resolved_config="{}", arch="resnet18", source_format="ours")
    make_record(done, outcome=outcome, error=None, wall_seconds=1.0).save(done.record_path)
    for override, says in (("epoch=1", "unknown setting 'epoch'"), ("epochs=1", "was made with other settings")):
        plan = make_plan("demo-1pct", tmp_path, tmp_path, override)
        with pytest.raises(UserError, match=says):
            check_before_trials([plan], CanaryArgs(), lambda plans: None)
