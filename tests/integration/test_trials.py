"""The trial runner, with real processes: what it does when trials fail, die, are refused or are run twice."""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from tests.trial_runs import plans, processes_with, records, start_runner, wait_until
from transfer.benchmarks import BENCHMARKS
from transfer.ledger import LEDGER_NAME, read_ledger
from transfer.record import OUTCOMES_NAME, RECORD_NAME, TrialRecord
from transfer.trials.plan import plan_trials, weights_ref
from transfer.trials.process import MAX_TEMPORARY_FOLDER
from transfer.trials.run_many import run_trials
from transfer.trials.summary import print_failures
from twist_common.errors import UserError
from twist_common.files import sha256_file


def test_each_trial_leaves_a_record_and_is_not_run_again(tmp_path: Path) -> None:
    assert run_trials(plans(tmp_path), jobs=2).done == 3
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    again = run_trials(plans(tmp_path), jobs=2)
    assert (again.done, again.skipped, again.exit_code) == (0, 3, 0)
    ledger = read_ledger((tmp_path / "runs" / LEDGER_NAME).read_bytes(), "here")
    assert sorted(entry.event for entry in ledger.entries) == ["done"] * 3 + ["started"] * 3
    assert all(record.ledger in ledger.hashes and record.seal_holds for record in records(tmp_path).values())
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    assert [records(tmp_path)[seed].metrics["score"].value for seed in range(3)] == [10.0, 11.0, 12.0]
    for path in tmp_path.rglob(OUTCOMES_NAME):
        assert TrialRecord.load(path.with_name(RECORD_NAME)).files == {OUTCOMES_NAME: sha256_file(path)}
    assert len(list(tmp_path.rglob(OUTCOMES_NAME))) == 3


def test_on_cpu_a_trial_has_one_thread_and_a_process_of_its_own(tmp_path: Path) -> None:
    run_trials(plans(tmp_path), jobs=2)
    assert {record.resolved_config for record in records(tmp_path).values()} == {"threads: 1"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "RuntimeError: the loss exploded"),
        ("nan", "score = nan"),
        ("die", "exit code -9"),
        ("full", "/runs/checkpoint.pth: No space left on device: free some space"),
    ],
)
def test_a_failed_trial_is_marked_the_others_go_on_and_it_can_be_mended(
    tmp_path: Path, fault: str, reason: str
) -> None:
    summary = run_trials(plans(tmp_path, f"seed1={fault}"), jobs=2)
    assert summary.exit_code == 1 and summary.done == 2
    failed = records(tmp_path)[1]
    assert failed.status == "failed" and reason in (failed.error or "") and failed.metrics == {}
    assert len(list(tmp_path.rglob(OUTCOMES_NAME))) == 2
    assert {seed for seed, record in records(tmp_path).items() if record.status == "done"} == {0, 2}
    ledger = read_ledger((tmp_path / "runs" / LEDGER_NAME).read_bytes(), "here")
    (end,) = [entry for entry in ledger.entries if entry.event == "failed"]
    assert end.seal == failed.seal and failed.ledger in ledger.hashes and failed.seal_holds


@pytest.mark.parametrize(("fault", "traced"), [("raise", True), ("die", False)])
def test_a_failure_says_where_its_output_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, traced: bool
) -> None:
    summary = run_trials(plans(tmp_path, f"seed0={fault}", num_trials=1))
    print_failures(summary, "the command")
    said = capsys.readouterr().err
    folder = plans(tmp_path, num_trials=1)[0].trial_dir
    assert f"output: {folder / 'log.txt'}" in said and (f"traceback: {folder / 'error.txt'}" in said) == traced
    assert "trial with seed 0" in (folder / "log.txt").read_text() or fault == "die"  # a killed process flushes nothing


def test_bad_input_leaves_what_a_killed_run_had_done(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, "seed0=refuse", num_trials=1)
    checkpoint = plan.trial_dir / "work" / "checkpoint.pth"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("hours of training")
    with pytest.raises(UserError, match=r"nowhere\.json is missing"):
        run_trials([plan])
    assert checkpoint.read_text() == "hours of training" and not plan.claim_path.exists()


def test_a_failed_trial_is_run_again(tmp_path: Path) -> None:
    first = plans(tmp_path, num_trials=1)
    failed = dataclasses.replace(first[0])
    run_trials([failed])
    record = records(tmp_path)[0]
    dataclasses.replace(record, status="failed", error="out of memory", metrics={}).save(failed.record_path)
    assert run_trials(first).done == 1
    assert records(tmp_path)[0].status == "done"


def test_bad_input_is_one_sentence_and_leaves_nothing_but_a_note_that_it_was_removed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json is missing"):
        run_trials(plans(tmp_path, "seed0=refuse", "seed1=refuse", "seed2=refuse"), jobs=2)
    (ledger,) = (tmp_path / "runs").rglob("*")  # this task finds it after its first step
    events = [entry.event for entry in read_ledger(ledger.read_bytes(), "here").entries]
    assert sorted(events) == ["removed"] * (len(events) // 2) + ["started"] * (len(events) // 2)


def test_a_record_of_other_settings_is_not_overwritten(tmp_path: Path) -> None:
    run_trials(plans(tmp_path), jobs=2)
    before = (plans(tmp_path)[0].record_path).read_bytes()
    with pytest.raises(UserError, match="other settings"):
        run_trials(plans(tmp_path, "seed9=raise"), jobs=2)
    assert (plans(tmp_path)[0].record_path).read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")
def test_gpus_for_trials_on_cpu_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--gpus-per-trial is for GPUs"):
        run_trials(plans(tmp_path), num_gpus=2)


def test_killing_the_runner_takes_its_trials_with_it_and_the_next_run_goes_on(tmp_path: Path) -> None:
    process = start_runner(tmp_path, "seed2=sleep")
    sleeping = str(plans(tmp_path)[2].log_path)
    wait_until(lambda: len(records(tmp_path)) == 2 and processes_with(sleeping))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not processes_with(sleeping))
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


def test_somebody_s_own_images_in_another_folder_are_other_trials(tmp_path: Path) -> None:
    def inputs(folder: str, benchmark: str) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        plan, *_ = plan_trials(
            runs=tmp_path,
            suite="s",
            benchmarks=[BENCHMARKS[benchmark]],
            weights=[weights_ref("random:resnet18")],
            seeds=range(1),
            data=tmp_path / folder,
        )
        return plan.inputs_sha256

    assert inputs("a", "folder-cluster") != inputs("b", "folder-cluster")
    assert inputs("a", "imagenet-cluster") == inputs("b", "imagenet-cluster")  # the name says which images


def test_a_temporary_folder_is_refused_that_is_a_byte_too_long_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="t-") as short, socket.socket(socket.AF_UNIX) as listener:
        longest = Path(short) / ("x" * (MAX_TEMPORARY_FOLDER - len(short) - 1))
        server = longest / "pymp-12345678"
        server.mkdir(parents=True)
        listener.bind(str(server / "listener-12345678"))
        with socket.socket(socket.AF_UNIX) as other, pytest.raises(OSError, match="too long"):
            other.bind(str(server / "listener-123456789"))
        monkeypatch.setattr(tempfile, "tempdir", f"{longest}x")
        with pytest.raises(UserError, match=r"has a name of 76 bytes.*set TMPDIR to one of at most 75"):
            run_trials(plans(tmp_path))
