"""Trials that are cheap and fail on demand, and runners of them in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT
from transfer.record import TrialRecord
from transfer.rows import Benchmark, DatasetRow
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref

FAULTY = Benchmark(
    name="faulty",
    task="tests.faults",
    config="__init__.py",
    dataset=DatasetRow(name="none", title="", guide="", source=""),
    protocol_version=1,
    title="",
    summary="",
    main_metric="score",
)

PROGRAM = """
import sys
from pathlib import Path
from tests.trial_runs import plans
from transfer.trials.run_many import run_trials
from transfer.trials.summary import print_failures

if __name__ == "__main__":
    folder, num_trials, *overrides = sys.argv[1:]
    summary = run_trials(plans(Path(folder), *overrides, num_trials=int(num_trials)), jobs=2)
    print_failures(summary, "the command")
    print(f"done {summary.done}, elsewhere {summary.elsewhere}, skipped {summary.skipped}", flush=True)
    sys.exit(summary.exit_code)
"""


def plans(folder: Path, *overrides: str, num_trials: int = 3) -> list[TrialPlan]:
    """Trials of :mod:`tests.faults.task`, recorded in ``folder/runs``."""
    (folder / "data").mkdir(exist_ok=True)
    return plan_trials(
        runs=folder / "runs",
        suite="test",
        benchmarks=[FAULTY],
        weights=[weights_ref("random:resnet18", name="random")],
        seeds=range(num_trials),
        data=folder / "data",
        overrides=overrides,
    )


def records(folder: Path) -> dict[int, TrialRecord]:
    """By seed, all that are recorded in ``folder/runs``."""
    found = [TrialRecord.load(path) for path in (folder / "runs").rglob("record.json")]
    return {record.seed: record for record in found}


def start_runner(folder: Path, *overrides: str, num_trials: int = 3) -> subprocess.Popen[str]:
    """A runner of :func:`plans` in a process of its own, two trials at a time."""
    script = folder / "program.py"
    script.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(num_trials), *overrides],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object]) -> None:
    """Fails the test after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.05)


def processes_with(text: str) -> list[int]:
    """Numbers of the processes that have a file open whose path holds ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                links = [str(link.readlink()) for link in (entry / "fd").iterdir()]
            except OSError:
                continue
            if any(text in link for link in links):
                found.append(int(entry.name))
    return found
