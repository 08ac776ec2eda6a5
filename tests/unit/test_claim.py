"""Claims: one live owner at a time, and dead ones taken over."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from transfer.trials import claim
from transfer.trials.claim import STALE_SECONDS, Claim, Owner, live_owner, take
from twist_common.errors import UserError
from twist_common.files import temporary_name
from twist_common.process import process_start


def lay(path: Path, owner: Owner, *, seconds_old: float = 0.0) -> None:
    """Puts a claim there as its owner would have left it."""
    path.write_text(json.dumps(asdict(owner)))
    then = time.time() - seconds_old
    os.utime(path, (then, then))


def dead_owner() -> Owner:
    """A process of this host that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = replace(claim._myself(), pid=process.pid, started=str(process_start(process.pid)))
    process.communicate()
    return owner


def remote_owner() -> Owner:
    return replace(claim._myself(), host="elsewhere", place="elsewhere 1 2", pid=1)


def test_a_claim_is_had_by_one_and_leaves_nothing_when_released(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".trial-0.claim"
    mine = take(path)
    assert mine and mine.holds() and take(path) is None
    assert str(live_owner(path)).startswith(f"process {os.getpid()} on ")
    mine.release()
    assert live_owner(path) is None and list(path.parent.iterdir()) == []
    assert take(path)


def test_a_dead_process_is_taken_over_and_a_reused_number_is_not_mistaken_for_it(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    lay(path, dead_owner())
    assert take(path)
    lay(path, replace(claim._myself(), started="12"))  # this process's number, with another start
    assert live_owner(path) is None and take(path)


def test_a_process_that_ended_but_was_not_fetched_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) is None
    process.wait()


def test_another_hosts_claim_holds_while_its_heart_beats(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    lay(path, remote_owner(), seconds_old=STALE_SECONDS - 60)
    assert take(path) is None
    assert str(live_owner(path)) == "process 1 on elsewhere"
    lay(path, remote_owner(), seconds_old=STALE_SECONDS + 60)
    mine = take(path)
    assert mine and mine.holds() and list(tmp_path.iterdir()) == [path]


def test_a_claim_that_nobody_can_read_is_judged_by_its_age(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    path.write_text("")
    assert take(path) is None
    os.utime(path, (0, 0))
    assert take(path)


def test_an_owner_that_was_taken_over_knows_it_and_does_not_release_the_others_claim(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    lay(path, replace(remote_owner(), token="first"), seconds_old=STALE_SECONDS + 60)
    first, second = Claim(path, replace(remote_owner(), token="first")), take(path)
    assert second and second.holds() and not first.holds()
    first.release()
    assert second.holds()


def test_a_kept_claim_shows_that_its_owner_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.05)
    mine = take(tmp_path / ".claim")
    assert mine
    with mine.kept():
        os.utime(mine.path, (0, 0))
        while mine.path.stat().st_mtime == 0:
            time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_a_taker_that_died_with_the_guard_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    lay(path, dead_owner())
    lay(tmp_path / ".claim.guard", dead_owner())
    lay(tmp_path / ".claim.guard.guard", dead_owner())
    lay(tmp_path / ".claim.0.other-1.tmp", dead_owner())
    name = temporary_name(".claim.1").replace(f"-{os.getpid()}.", f"-{dead_owner().pid}.")
    (tmp_path / name).touch()  # died between making the file and writing into it
    mine = take(path)
    assert mine
    mine.release()
    assert list(tmp_path.iterdir()) == []


def _take_again_and_again(path: Path, kernel_lock: Path, log: Path) -> None:
    """While it has the claim it also holds a kernel lock, which on one host certainly only one process can hold."""
    with kernel_lock.open() as witness, log.open("ab", buffering=0) as told:
        while True:
            mine = take(path)
            if mine is None:
                continue
            try:
                fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
                told.write(b".")
                fcntl.flock(witness, fcntl.LOCK_UN)
            except BlockingIOError:
                told.write(b"TWO HAD IT")
            mine.release()


def test_of_many_processes_that_take_release_and_are_killed_one_has_it_at_a_time(tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context("fork")
    path, log, kernel_lock = tmp_path / "folder" / ".claim", tmp_path / "log", tmp_path / "witness"
    kernel_lock.touch()
    moments = random.Random(0)

    def started() -> Any:
        taker = context.Process(target=_take_again_and_again, args=(path, kernel_lock, log))
        taker.start()
        return taker

    takers = [started() for _ in range(4)]
    for _ in range(60):
        time.sleep(moments.uniform(0.0, 0.05))
        victim = takers.pop(0)
        victim.kill()
        victim.join()
        takers.append(started())
    for taker in takers:
        taker.kill()
        taker.join()
    told = log.read_bytes()
    assert set(told) == set(b".") and len(told) > 60
    last = take(path)  # whatever the last one left behind
    assert last
    last.release()
    assert list(path.parent.iterdir()) == []


def test_a_requeued_slurm_job_takes_over_from_its_own_earlier_run_on_another_node_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "claim"
    monkeypatch.setenv("SLURM_JOB_ID", "14")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    lay(path, remote_owner())
    assert take(path) is None  # a process of the same run, on another of its nodes
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert take(path) is None  # another job's
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert take(path)


def test_the_claim_of_a_slurm_job_that_is_known_to_have_ended_is_dropped_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "claim"
    lay(path, replace(remote_owner(), job="12_2"))
    claim.end_claim_of("12_3", path)
    assert live_owner(path)
    claim.end_claim_of("12_2", path)
    assert not path.exists()
    lay(path, remote_owner())
    claim.end_claim_of("", path)
    assert live_owner(path)


def test_a_dead_hosts_claim_from_a_clock_that_is_ahead_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    lay(path, remote_owner(), seconds_old=-7 * 86400)
    assert take(path) is None  # it may live: the next beat, in half a minute, would move the file ahead again
    assert time.time() - path.stat().st_mtime < 60
    lay(path, remote_owner(), seconds_old=STALE_SECONDS + 60)  # no beat came
    assert take(path)


def test_a_claim_shows_its_life_again_after_a_file_server_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.01)
    held = take(tmp_path / ".claim")
    assert held
    away = [OSError(errno.ESTALE, os.strerror(errno.ESTALE))] * 2
    monkeypatch.setattr(held, "holds", lambda: (_ for _ in ()).throw(away.pop()) if away else True)
    with held.kept():
        os.utime(held.path, (0, 0))
        deadline = time.monotonic() + 10
        while not held.path.stat().st_mtime and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not away and held.path.stat().st_mtime


@pytest.mark.parametrize(("number", "raised"), [(errno.EPERM, UserError), (errno.ENOSPC, OSError)])
def test_a_file_system_without_hard_links_is_told_from_one_that_is_full(
    number: int, raised: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> NoReturn:
        raise OSError(number, os.strerror(number), str(target), None, str(self))  # os.link names its first first

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(raised) as said:
        take(tmp_path / "trial" / ".claim")
    assert ("without hard links" in str(said.value)) == (raised is UserError)
    assert str(tmp_path / "trial") in str(said.value) and ".tmp" not in str(said.value)
    assert not list((tmp_path / "trial").iterdir())
