"""SIGKILLs at random moments of a running suite, restarted each time: the records are those of an undisturbed run."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.kills import differences, files, records, run_and_kill, running_trials
from tests.trial_runs import plans
from transfer.record import Metric, TrialRecord
from transfer.trials.run_many import run_trials

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="killed trials are found through /proc")

# A suite of trials that take steps of 20 ms, remember their step, and write weights, a picture and a record.
PROGRAM = """
from dataclasses import replace

from twist_common import cli
from tests.trial_runs import FAULTY
from transfer.benchmarks import BENCHMARKS
from transfer.commands.suite import COMMAND, Args, main

if __name__ == "__main__":
    BENCHMARKS[FAULTY.name] = replace(FAULTY, num_trials=1, suite="quick")
    cli.run(Args, main, prog=COMMAND)
"""
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "FAULTY_STEPS": "90"}


def undisturbed(command: Sequence[str]) -> None:
    subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=True, capture_output=True)


def assert_nothing_is_left(runs: Path) -> None:
    left = [path.name for path in runs.rglob("*") if ".tmp" in path.name or "claim" in path.name]
    assert not left and not running_trials(runs)


def test_twenty_kills_change_no_record_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "none").mkdir()

    def command(runs: Path) -> list[str]:
        weights = ("random:resnet18", "random:resnet34", "--seeds", "0", "3", "5-8", "--jobs", "2")
        options = ("--device", "cpu", "--data", str(tmp_path / "none"), "--out", str(runs))
        return [sys.executable, str(tmp_path / "program.py"), "quick", *weights, *options]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed(command(whole))
    kills = run_and_kill(command(killed), killed, num_kills=20, longest_s=0.6, seed=0, environment=ENVIRONMENT)
    assert kills.runners == 20 and kills.in_trials >= 5 and kills.trials >= 6, kills
    assert kills.exit_codes[-1] == 0
    assert len(records(whole)) == 12 and len(files(whole)) == 12 * 4 + 2
    assert differences(whole, killed) == []
    assert_nothing_is_left(killed)


def test_the_comparison_sees_what_is_changed_missing_or_left(tmp_path: Path) -> None:
    whole, other = tmp_path / "a", tmp_path / "b"
    for folder in (whole, other):
        assert run_trials([dataclasses.replace(plan, runs=folder) for plan in plans(tmp_path, "steps=1")]).done == 3
    assert differences(whole, other) == []
    first, second, third = sorted(other.rglob("record.json"))
    record = TrialRecord.load(first)
    dataclasses.replace(record, metrics={"score": Metric(value=10.001)}).save(first)
    second.unlink()
    (third.parent / "work" / ".step.vm-1.tmp.txt").touch()
    (third.parent / "work" / "pictures" / "seed.txt").write_text("another")
    assert [line.replace(f"{first.parents[1].relative_to(other)}/", "") for line in differences(whole, other)] == [
        "record trial-0/record.json differs in metrics",
        "record trial-1/record.json is missing after the kills",
        "file trial-2/work/.step.vm-1.tmp.txt is there only after the kills",
        "file trial-2/work/pictures/seed.txt differs",
    ]


def test_kills_change_no_record_of_a_real_benchmark(digits: Path, tmp_path: Path) -> None:
    def command(runs: Path) -> list[str]:
        options = ("--trials", "1", "--device", "cpu", "--data", str(digits), "--out", str(runs))
        benches = ("--only", "demo-linear")
        return [sys.executable, "-m", "transfer.commands.suite", "demo", "random:resnet18", *benches, *options]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed(command(whole))
    kills = run_and_kill(command(killed), killed, num_kills=2, longest_s=0.5, seed=1, environment=ENVIRONMENT)
    assert kills.runners == 2 and kills.exit_codes[-1] == 0
    assert {record.benchmark for record in records(whole).values()} == {"demo-linear"}
    assert differences(whole, killed) == []
    assert_nothing_is_left(killed)
