"""Several runners on one folder: no trial is run twice, and what a dead runner had is taken over."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.trial_runs import plans, processes_with, records, start_runner, wait_until
from transfer.trials import claim
from transfer.trials.claim import STALE_SECONDS
from transfer.trials.run_many import run_trials
from twist_common.errors import UserError


def said(runner: subprocess.Popen[str]) -> str:
    """What a runner printed, once it has ended well."""
    out, errors = runner.communicate(timeout=120)
    assert runner.returncode == 0, errors
    return out + errors


def no_claims(folder: Path) -> bool:
    return not [path for path in (folder / "runs").rglob("*") if "claim" in path.name or "lock" in path.name]


def test_two_runners_share_the_trials_and_run_each_once(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    runners = [start_runner(tmp_path, f"starts={starts}", "steps=3", num_trials=20) for _ in range(2)]
    told = [said(runner) for runner in runners]
    assert Counter(map(int, starts.read_text().split())) == Counter(range(20))
    assert set(records(tmp_path)) == set(range(20)) and no_claims(tmp_path)
    counts = [re.search(r"done (\d+), elsewhere (\d+), skipped (\d+)", text) for text in told]
    assert all(count and sum(map(int, count.groups())) == 20 and int(count[1]) > 0 for count in counts)
    assert sum(int(count[1]) for count in counts if count) == 20  # each was counted by the runner that ran it


def test_a_trial_of_a_live_runner_is_left_to_it_and_waited_for(tmp_path: Path) -> None:
    options = ("seed0=slow", f"starts={tmp_path / 'starts'}")
    first = start_runner(tmp_path, *options, num_trials=1)
    wait_until((tmp_path / "starts").is_file)
    second = start_runner(tmp_path, *options, num_trials=4)
    wait_until(lambda: set(records(tmp_path)) == {1, 2, 3})  # it runs the others
    assert first.poll() is None and second.poll() is None
    (tmp_path / "runs" / "go").touch()
    assert "done 1, elsewhere 0" in said(first)
    told = said(second)
    assert "done 3, elsewhere 1" in told and "seed 0: left to process" in told
    assert sorted((tmp_path / "starts").read_text().split()) == ["0", "1", "2", "3"]


def test_a_trial_that_fails_in_another_runner_is_reported_and_not_tried_again(tmp_path: Path) -> None:
    options = ("seed0=slow-raise", f"starts={tmp_path / 'starts'}")
    first = start_runner(tmp_path, *options, num_trials=1)
    wait_until((tmp_path / "starts").is_file)
    second = start_runner(tmp_path, *options, num_trials=2)
    wait_until(lambda: set(records(tmp_path)) == {1})
    (tmp_path / "runs" / "go").touch()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1 and "the loss exploded (in another runner)" in errors
    first.communicate(timeout=60)
    assert sorted((tmp_path / "starts").read_text().split()) == ["0", "1"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to find a trial's process")
def test_what_a_killed_runner_had_is_taken_over_by_one_that_waited_for_it(tmp_path: Path) -> None:
    options = ("seed0=slow", f"starts={tmp_path / 'starts'}")
    first = start_runner(tmp_path, *options, num_trials=1)
    wait_until((tmp_path / "starts").is_file)
    second = start_runner(tmp_path, *options, num_trials=2)
    wait_until(lambda: set(records(tmp_path)) == {1})
    first.kill()
    first.communicate()
    wait_until(lambda: (tmp_path / "starts").read_text().split().count("0") == 2)
    (tmp_path / "runs" / "go").touch()
    assert "done 2, elsewhere 0" in said(second)
    assert no_claims(tmp_path) and not processes_with(str(tmp_path / "runs"))


def test_a_trial_that_is_killed_is_failed_and_what_it_left_is_cleared_by_the_next_start(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, "steps=100", num_trials=1)
    runner = start_runner(tmp_path, "steps=100", num_trials=1)
    wait_until((plan.trial_dir / "work" / "step.txt").is_file)
    owner = claim.live_owner(plan.claim_path)
    assert owner is not None and owner.pid != runner.pid
    os.kill(owner.pid, signal.SIGKILL)
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == 1 and "exit code -9" in errors and str(plan.log_path) in errors
    record = records(tmp_path)[0]
    assert record.status == "failed" and record.wall_seconds > 0 and record.device_hours > 0
    said(start_runner(tmp_path, "steps=100", num_trials=1))
    assert records(tmp_path)[0].status == "done" and no_claims(tmp_path)
    assert not list((tmp_path / "runs").rglob("*.tmp*"))


def test_another_hosts_trial_is_respected_until_its_heart_has_stopped(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, num_trials=1)
    plan.claim_path.parent.mkdir(parents=True)
    remote = replace(claim._myself(), host="node7", place="node7 1 2", pid=1)
    plan.claim_path.write_text(json.dumps(asdict(remote)))
    runner = start_runner(tmp_path, num_trials=2)
    wait_until(lambda: set(records(tmp_path)) == {1})
    assert runner.poll() is None
    long_ago = time.time() - STALE_SECONDS - 60
    os.utime(plan.claim_path, (long_ago, long_ago))
    told = said(runner)
    assert "left to process 1 on node7" in told and "done 2, elsewhere 0" in told
    assert records(tmp_path)[0].status == "done" and no_claims(tmp_path)


def test_a_refusal_while_others_run_leaves_theirs_alone(tmp_path: Path) -> None:
    other = start_runner(tmp_path, "seed0=slow", f"starts={tmp_path / 'starts'}", num_trials=1)
    wait_until((tmp_path / "starts").is_file)
    with pytest.raises(UserError, match=r"nowhere\.json is missing"):
        run_trials(plans(tmp_path, "seed1=refuse", num_trials=2), jobs=2)
    (tmp_path / "runs" / "go").touch()
    assert "done 1" in said(other)
    assert set(records(tmp_path)) == {0} and no_claims(tmp_path)
    assert not plans(tmp_path, num_trials=2)[1].trial_dir.exists()
