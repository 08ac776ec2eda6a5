"""Trials on a real Slurm: preempted, signalled, cancelled, out of memory, refused, left and found again."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_module
from tests.trial_runs import plans, records, wait_until
from transfer.ledger import LEDGER_NAME
from transfer.record import TrialRecord
from transfer.trials.slurm import jobs as notes
from transfer.trials.slurm.options import TrialSlurmArgs
from transfer.trials.slurm.run import run_on_slurm
from transfer.trials.summary import RunSummary
from twist_common.errors import UserError
from twist_common.slurm import job_statuses

pytestmark = pytest.mark.slurm
# What two runs of one trial may differ in; everything else in a record is equal.
OF_THE_RUN = {"wall_seconds": 0.0, "device_hours": 0.0, "peak_bytes": 0, "ledger": "", "seal": ""}


@pytest.fixture(autouse=True)
def environment(slurm_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    monkeypatch.setattr("transfer.trials.slurm.watch.SETTLE_SECONDS", 0.5)  # this file system is a local one


def submit(folder: Path, *overrides: str, num_trials: int = 1, wait: bool = True, **options: str) -> RunSummary:
    """Trials of :mod:`tests.faults.task`; see :func:`tests.trial_runs.plans`."""
    args = TrialSlurmArgs(wait=wait, **{"mem": "2G", **options})
    return run_on_slurm(plans(folder, *overrides, num_trials=num_trials), args, None)


def job_of(folder: Path, *overrides: str, seed: int = 0) -> str:
    job = notes.load(plans(folder, *overrides, num_trials=seed + 1)[seed])
    assert job is not None
    return job.job_id


def is_running(folder: Path, *overrides: str, seed: int = 0) -> Callable[[], bool]:
    """Whether the trial itself runs, not only its job."""
    plan = plans(folder, *overrides)[seed]
    return lambda: (plan.trial_dir / "work" / "scratch").is_file() and plan.claim_path.is_file()


def slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_preempted_trials_are_requeued_and_their_records_equal_those_of_a_local_run(
    digits: Path, tmp_path: Path
) -> None:
    def suite(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
        # long enough to be running still when the urgent job comes
        chosen = ["random:resnet18", "--only", "demo-heads", "demo-100pct", "--trials", "1"]
        return run_module(
            "transfer.commands.suite", "demo", *chosen, "--data", digits, "--out", out, *options, cwd=tmp_path
        )

    here, there = tmp_path / "local", tmp_path / "slurm"
    submitted = suite(there, "--launcher", "slurm", "--no-wait")
    assert submitted.returncode == 0 and "2 trial(s) submitted" in submitted.stderr, submitted.stderr
    jobs = [json.loads(note.read_text())["job_id"] for note in there.rglob(".trial-*.slurm.json")]
    wait_until(lambda: len(list(there.rglob(".trial-*.claim"))) == 2)
    slurm("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    wait_until(lambda: {status.state for status in job_statuses(jobs).values()} == {"PENDING"})
    assert not list(there.rglob("record.json")) and not list(there.rglob(".trial-*.claim"))
    watched = suite(there, "--launcher", "slurm")
    assert watched.returncode == 0, watched.stderr
    assert suite(here).returncode == 0
    assert "2 trial(s) queued already" in watched.stderr and "submitted" not in watched.stderr
    found = {path.relative_to(there): TrialRecord.load(path) for path in there.rglob("record.json")}
    expected = {path.relative_to(here): TrialRecord.load(path) for path in here.rglob("record.json")}
    assert found.keys() == expected.keys() and len(found) == 2
    for path, record in expected.items():
        assert dataclasses.replace(found[path], **OF_THE_RUN) == dataclasses.replace(record, **OF_THE_RUN)
    assert not list(there.rglob("*slurm*"))  # what the jobs needed is cleared away


def test_signalled_trials_are_requeued_and_go_on_from_their_work_folders(tmp_path: Path) -> None:
    signals = ("USR1", "USR2", "TERM", "USR1 --full")
    wishes = ("steps=300", f"starts={tmp_path / 'starts'}")
    submit(tmp_path, *wishes, num_trials=4, wait=False)
    trials = plans(tmp_path, *wishes, num_trials=4)
    jobs = [job_of(tmp_path, *wishes, seed=seed) for seed in range(4)]
    steps = [plan.trial_dir / "work" / "step.txt" for plan in trials]
    wait_until(lambda: all(step.is_file() for step in steps))
    for job_id, name in zip(jobs, signals, strict=True):
        slurm("scancel", *f"--signal={name}".split(), job_id)
    wait_until(lambda: {status.state for status in job_statuses(jobs).values()} == {"PENDING"})
    assert not records(tmp_path)
    assert submit(tmp_path, *wishes, num_trials=4).done == 4
    assert sorted((tmp_path / "starts").read_text().split()) == sorted("00112233")
    assert [records(tmp_path)[seed].metrics["score"].value for seed in range(4)] == [10.0, 11.0, 12.0, 13.0]


def test_a_cancelled_job_leaves_a_failed_record_and_the_trial_can_be_run_again(tmp_path: Path) -> None:
    submit(tmp_path, "seed0=slow", wait=False)
    wait_until(is_running(tmp_path, "seed0=slow"))
    job_id = job_of(tmp_path, "seed0=slow")
    slurm("scancel", job_id)
    ((plan, reason),) = submit(tmp_path, "seed0=slow").failed
    assert f"Slurm job {job_id} ended as CANCELLED" in reason
    assert records(tmp_path)[0].status == "failed" and records(tmp_path)[0].error == reason
    (tmp_path / "runs" / "go").touch()
    assert submit(tmp_path, "seed0=slow").done == 1
    assert records(tmp_path)[0].status == "done" and not plan.claim_path.exists()


def test_a_trial_that_never_ends_in_its_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer.trials.slurm.jobs.MAX_TIMEOUTS", 0)
    # In a job of at most ten minutes submitit takes any SIGUSR2 for the one before the time limit.
    submit(tmp_path, "seed0=slow", wait=False, time="5")
    wait_until(is_running(tmp_path, "seed0=slow"))
    slurm("scancel", "--signal=USR2", job_of(tmp_path, "seed0=slow"))
    ((_, reason),) = submit(tmp_path, "seed0=slow", time="5").failed
    assert "timed-out too many times" in reason and records(tmp_path)[0].error == reason


def test_a_trial_out_of_memory_is_failed_and_the_others_go_on(tmp_path: Path) -> None:
    summary = submit(tmp_path, "seed1=hoard", num_trials=2, mem="300M")
    assert (summary.done, summary.exit_code) == (1, 1)
    failed = records(tmp_path)[1]
    assert failed.status == "failed" and failed.metrics == {}
    assert "Slurm job" in str(failed.error) or "exit code -9" in str(failed.error)


def test_bad_input_is_one_sentence_calls_off_the_rest_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json is missing"):
        submit(tmp_path, "seed0=refuse", "seed1=refuse", "seed2=refuse", num_trials=3)
    assert {path.name for path in (tmp_path / "runs").rglob("*")} <= {LEDGER_NAME}  # found after the first step


PROGRAM = """
from pathlib import Path
from twist_common import cli
from tests.integration.test_slurm_trials import submit
from dataclasses import dataclass

@dataclass
class Args:
    folder: Path

if __name__ == "__main__":
    cli.run(Args, lambda args: submit(args.folder, "seed0=slow", "seed1=slow", num_trials=2).exit_code, prog="command")
"""


def test_ctrl_c_leaves_the_jobs_and_the_same_command_finds_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), "--folder", str(tmp_path)]
    wishes = ("seed0=slow", "seed1=slow")
    runner = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    wait_until(is_running(tmp_path, *wishes))
    runner.send_signal(signal.SIGINT)
    _, said = runner.communicate(timeout=60)
    jobs = [job_of(tmp_path, *wishes, seed=seed) for seed in (0, 1)]
    assert runner.returncode == 130
    assert f"squeue --jobs={jobs[0].split('_')[0]}" in said and "scancel" in said and "same command" in said
    assert {status.state for status in job_statuses(jobs).values()} == {"RUNNING"}
    (tmp_path / "runs" / "go").touch()
    summary = submit(tmp_path, *wishes, num_trials=2)
    assert summary.done == 2
    assert "2 trial(s) queued already" in capsys.readouterr().err
