"""Options of jobs, what they ask Slurm for, and what is refused before anything is submitted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.trial_runs import FAULTY, plans
from transfer.benchmarks import BENCHMARKS, CLASSIFICATION, DETECTION
from transfer.commands.launch import LaunchArgs, launch_device
from transfer.trials.slurm import jobs
from transfer.trials.slurm.options import Need, TrialSlurmArgs, need_of
from twist_common import slurm
from twist_common.errors import UserError
from twist_common.slurm_jobs import sbatch_parameters


@pytest.fixture
def with_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands are on PATH, and do nothing."""
    for program in slurm.PROGRAMS:
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("1:30:00", 90), ("00:00:30", 1), ("12:00:01", 721), ("2-00:00:00", 2880), ("1-12:00:00", 2160)],
)
def test_time_limits(text: str, minutes: int) -> None:
    assert slurm.minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "soon", "10:30", "-5", "0", "0-00:00:00", "1.5", "²"])
def test_a_time_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--time"):
        slurm.minutes(text)


def test_other_options_of_sbatch_are_passed_on_and_ours_are_not_overridden() -> None:
    assert slurm.other_options(["exclude=node[1-2]", "--mail_type=END", "exclusive=true"], ["output"]) == {
        "exclude": "node[1-2]",
        "mail-type": "END",
        "exclusive": True,
    }
    for bad in ("exclusive", "=x", "output=log.txt", "two words=x"):
        with pytest.raises(UserError, match="--slurm"):
            slurm.other_options([bad], ["output"])


def test_trials_with_different_needs_are_different_arrays(tmp_path: Path) -> None:
    plan = dataclasses.replace(plans(tmp_path, num_trials=1)[0], device="cuda")
    args = TrialSlurmArgs()
    dense = dataclasses.replace(plan, benchmark=dataclasses.replace(FAULTY, task=DETECTION))
    single = dataclasses.replace(plan, benchmark=dataclasses.replace(FAULTY, task=CLASSIFICATION))
    assert need_of(dense, args, 8) == Need(gpus=8, cpus=32)
    assert need_of(single, args, 8) == Need(gpus=1, cpus=4)
    assert need_of(dataclasses.replace(plan, device="cpu"), args, None) == Need(gpus=0, cpus=1)
    assert need_of(dense, TrialSlurmArgs(cpus_per_trial=6), 2) == Need(gpus=2, cpus=6)
    with pytest.raises(UserError, match="--gpus-per-trial"):
        need_of(dense, args, None)


def test_a_job_asks_for_what_was_said_and_can_be_requeued() -> None:
    args = TrialSlurmArgs(
        partition="gpu", time="2:00:00", mem="64G", qos="low", slurm=("exclude=n7",), setup=("module load cuda",)
    )
    parameters = sbatch_parameters(args, cpus=8, gpus_per_node=2)
    expected = {"partition": "gpu", "time": 120, "mem": "64G", "qos": "low", "gpus_per_node": 2, "cpus_per_task": 8}
    assert expected.items() <= parameters.items() and "account" not in parameters
    assert parameters["additional_parameters"] == {"requeue": True, "exclude": "n7"}
    setup = parameters["setup"]
    assert isinstance(setup, list) and setup[0] == "module load cuda"  # ours last: it must not lose our PYTHONPATH


def test_without_slurm_it_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch on PATH"):
        launch_device(LaunchArgs(launcher="slurm"), [FAULTY])


def test_options_of_the_other_launcher_are_refused(with_slurm: None) -> None:
    with pytest.raises(UserError, match=r"--max-parallel is for jobs of a cluster: give --launcher slurm"):
        launch_device(LaunchArgs(cluster=TrialSlurmArgs(max_parallel=3)), [FAULTY])
    with pytest.raises(UserError, match="--no-wait"):
        launch_device(LaunchArgs(cluster=TrialSlurmArgs(wait=False)), [FAULTY])
    with pytest.raises(UserError, match="--jobs is for this machine"):
        launch_device(LaunchArgs(launcher="slurm", jobs=2), [FAULTY])


def test_on_slurm_the_device_is_what_was_asked_for_not_what_this_machine_has(with_slurm: None) -> None:
    demo, paper = BENCHMARKS["demo-linear"], BENCHMARKS["voc"]
    assert launch_device(LaunchArgs(launcher="slurm"), [demo]) == "cpu"
    assert launch_device(LaunchArgs(launcher="slurm", gpus_per_trial=8), [paper]) == "cuda"
    assert launch_device(LaunchArgs(launcher="slurm", device="cpu"), [paper]) == "cpu"
    with pytest.raises(UserError, match="--gpus-per-trial N, or --device cpu"):
        launch_device(LaunchArgs(launcher="slurm"), [demo, paper])
    with pytest.raises(UserError, match="--gpus-per-trial is 0"):
        launch_device(LaunchArgs(launcher="slurm", gpus_per_trial=0), [paper])


def test_a_job_with_other_settings_is_not_taken_for_this_trials(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, num_trials=1)
    job = jobs.TrialJob(plan=plan, job_id="12_3", failure_ns=None)
    assert jobs.load(plan) is None
    job.save()
    assert jobs.load(plan) == job and job.array_id == "12"
    (other,) = plans(tmp_path, "seed0=nan", num_trials=1)
    with pytest.raises(UserError, match=r"12_3 has the trial .* with other settings"):
        jobs.load(other)
    jobs.note_path(plan).write_text("{")
    with pytest.raises(UserError, match="does not name a Slurm job"):
        jobs.load(plan)
