"""The trial runner, with real processes: what it does when trials fail, die, are refused or are run twice."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from tests.conftest import ROOT
from transfer.benchmarks import BENCHMARKS, Benchmark
from transfer.plan import TrialPlan, plan_trials, weights_ref
from transfer.record import TrialRecord
from transfer.trials import run_trials

FAULTY = Benchmark(
    name="faulty",
    task="tests.faults.task",
    config="suites/__init__.py",
    data="none",
    protocol_version=1,
    title="",
    main_metric="score",
)


def plans(tmp_path: Path, *overrides: str, num_trials: int = 3) -> list[TrialPlan]:
    (tmp_path / "data").mkdir(exist_ok=True)
    return plan_trials(
        runs=tmp_path / "runs",
        suite="test",
        benchmarks=[FAULTY],
        weights=[weights_ref("random:resnet18", name="random")],
        seeds=range(num_trials),
        data=tmp_path / "data",
        overrides=overrides,
    )


def records(tmp_path: Path) -> dict[int, TrialRecord]:
    found = [TrialRecord.load(path) for path in (tmp_path / "runs").rglob("record.json")]
    return {record.seed: record for record in found}


def test_each_trial_leaves_a_record_and_is_not_run_again(tmp_path: Path) -> None:
    assert run_trials(plans(tmp_path), jobs=2).done == 3
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    again = run_trials(plans(tmp_path), jobs=2)
    assert (again.done, again.skipped, again.exit_code) == (0, 3, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    assert [records(tmp_path)[seed].metrics["score"].value for seed in range(3)] == [10.0, 11.0, 12.0]


def test_on_cpu_a_trial_has_one_thread_and_a_process_of_its_own(tmp_path: Path) -> None:
    run_trials(plans(tmp_path), jobs=2)
    assert {record.resolved_config for record in records(tmp_path).values()} == {"threads: 1"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("raise", "RuntimeError: the loss exploded"), ("nan", "score = nan"), ("die", "exit code -9")],
)
def test_a_failed_trial_is_marked_the_others_go_on_and_it_can_be_mended(
    tmp_path: Path, fault: str, reason: str
) -> None:
    summary = run_trials(plans(tmp_path, f"seed1={fault}"), jobs=2)
    assert summary.exit_code == 1 and summary.done == 2
    failed = records(tmp_path)[1]
    assert failed.status == "failed" and reason in (failed.error or "") and failed.metrics == {}
    assert {seed for seed, record in records(tmp_path).items() if record.status == "done"} == {0, 2}


def test_a_failed_trial_is_run_again(tmp_path: Path) -> None:
    first = plans(tmp_path, num_trials=1)
    failed = dataclasses.replace(first[0])
    run_trials([failed])
    record = records(tmp_path)[0]
    dataclasses.replace(record, status="failed", error="out of memory", metrics={}).save(failed.record_path)
    assert run_trials(first).done == 1
    assert records(tmp_path)[0].status == "done"


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json is missing"):
        run_trials(plans(tmp_path, "seed0=refuse", "seed1=refuse", "seed2=refuse"), jobs=2)
    assert list((tmp_path / "runs").rglob("*")) == []


def test_a_record_of_other_settings_is_not_overwritten(tmp_path: Path) -> None:
    run_trials(plans(tmp_path), jobs=2)
    before = (plans(tmp_path)[0].record_path).read_bytes()
    with pytest.raises(UserError, match="other settings"):
        run_trials(plans(tmp_path, "seed9=raise"), jobs=2)
    assert (plans(tmp_path)[0].record_path).read_bytes() == before


PROGRAM = """
from pathlib import Path
from tests.integration.test_trials import plans
from transfer.trials import run_trials

if __name__ == "__main__":
    run_trials(plans(Path({path!r}), {override!r}), jobs=2)
"""


def _in_another_process(tmp_path: Path, override: str) -> subprocess.Popen[bytes]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(path=str(tmp_path), override=override))
    return subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)})


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.1)


def _processes_with(text: str) -> list[int]:
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")
def test_killing_the_runner_takes_its_trials_with_it_and_the_next_run_goes_on(tmp_path: Path) -> None:
    process = _in_another_process(tmp_path, "seed2=sleep")
    sleeping = str(plans(tmp_path)[2].trial_dir)
    _wait_until(lambda: len(records(tmp_path)) == 2 and _processes_with(sleeping))
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait_until(lambda: not _processes_with(sleeping))
    assert set(records(tmp_path)) == {0, 1}  # no half record of the killed trial
    assert not list((tmp_path / "runs").rglob("*.tmp*"))


def test_the_record_of_a_trial_says_where_it_came_from(tmp_path: Path) -> None:
    run_trials(plans(tmp_path, num_trials=1))
    raw = json.loads(plans(tmp_path)[0].record_path.read_text())
    assert len(raw["git_commit"]) == 40 and raw["packages"]["torch"] and raw["packages"]["detectron2"] == "0.6"
    assert raw["wall_seconds"] > 0 and raw["peak_bytes"] > 0 and raw["device"].startswith("cpu")


def test_the_same_seeds_are_planned_for_all_weights(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"a")
    (tmp_path / "data").mkdir()
    refs = [weights_ref(str(tmp_path / "a.pth")), weights_ref("random:resnet18")]
    planned = plan_trials(
        runs=tmp_path,
        suite="s",
        benchmarks=[BENCHMARKS["demo-voc"]],
        weights=refs,
        seeds=range(4),
        data=tmp_path / "data",
    )
    seeds = {ref.name: [plan.seed for plan in planned if plan.weights == ref] for ref in refs}
    assert seeds == {"a": [0, 1, 2, 3], "random-resnet18": [0, 1, 2, 3]}
    assert len({plan.inputs_sha256 for plan in planned}) == 8
