"""Who runs a trial: a claim file held by one process at a time, on one machine or on many that share a file system.

A claim names its owner: host, process and the process's start. It is dead, and may be taken over, when

- on the owner's own host, the process is gone (its start is compared too, as process numbers are reused);
- the owner was an earlier run of this very Slurm job: Slurm ends a run before it starts a requeued job again;
- from any other host, which cannot see the process, the owner has not touched the file for :data:`STALE_SECONDS`.

``flock`` would be released by the kernel, but not every network file system honours it between hosts. What is used here
is atomic everywhere: a hard link, which fails where there is a file already, and a rename.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from twist_common.errors import UserError
from twist_common.files import NO_LINKS, is_unfinished, make_dir, named_in_errors, temporary_name
from twist_common.process import process_start
from twist_common.slurm import own_job_id, own_restarts

BEAT_SECONDS = 30.0
STALE_SECONDS = 600.0  # twenty missed beats: a file server that hangs for minutes must not make a claim look dead
GUARD = ".guard"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a claim.

    Attributes:
        place: where ``pid`` has a meaning: the host, its boot, and its space of process numbers.
        started: when the process started, in the system's own terms.
        token: unique to this claim.
        job: the Slurm job that the process belongs to, ``"12"`` or ``"12_3"``; empty outside of Slurm.
        job_run: how many times that job had been requeued.
    """

    host: str
    place: str
    pid: int
    started: str
    token: str
    job: str = ""
    job_run: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Claim:
    """A claim that this process holds: made by :func:`take`."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self.owner = path, owner

    def holds(self) -> bool:
        """False once another process has taken over, because this one seemed dead."""
        return read_owner(self.path) == self.owner

    def release(self) -> None:
        """Lets go of the claim, and removes what was left by processes that died while trying to take it."""
        if self.holds():
            self.path.unlink(missing_ok=True)
        for left in self.path.parent.glob(f"{self.path.name}.*"):
            if left.suffix == GUARD:
                if guard := take(left):
                    guard.release()
            elif is_unfinished(left) or live_owner(left) is None:
                left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Shows others that the owner is alive while the block runs, then releases the claim."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                with contextlib.suppress(OSError):  # released, or a file server that comes back before the next beat
                    if self.holds():
                        os.utime(self.path)

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            self.release()


def take(path: Path) -> Claim | None:
    """Takes the claim ``path``, a hidden file, and makes its folder; None if a live owner has it or is taking it.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    owner = _myself()
    candidate = path.with_name(temporary_name(f"{path.name}.{owner.token}"))
    try:
        for _ in range(100):
            make_dir(candidate.parent)
            with contextlib.suppress(FileNotFoundError):  # others may remove the folder as often as it is made
                with named_in_errors(path, candidate):
                    candidate.write_text(json.dumps(asdict(owner)), encoding="utf-8")
                break
        else:
            raise OSError(f"{candidate.parent} vanishes again and again")
        if _link(candidate, path) or _take_over(candidate, path):
            return Claim(path, owner)
        return None
    finally:
        with contextlib.suppress(OSError):  # a right that was lost: an error before it is the one to tell
            candidate.unlink(missing_ok=True)


def live_owner(path: Path) -> Owner | None:
    """Who holds the claim; None if nobody does, or a dead process."""
    owner = read_owner(path)
    if owner is None:
        return None
    if owner.place == _place():
        return owner if process_start(owner.pid) == owner.started else None
    if owner.job and owner.job == own_job_id() and owner.job_run < own_restarts():
        return None
    # The clock that gives files beside the claim their times: on a network file system, the server's.
    probe = path.with_name(temporary_name(f"{path.name}.{uuid.uuid4().hex}"))
    try:
        probe.touch()
        now, beat = probe.stat().st_mtime, path.stat().st_mtime
        if beat > now + BEAT_SECONDS:  # a clock that is ahead: set back, it is seen whether its owner still beats
            with contextlib.suppress(PermissionError):  # another user's
                os.utime(path, (now, now))
        return owner if now - beat < STALE_SECONDS else None
    except FileNotFoundError:
        return None  # released meanwhile
    finally:
        probe.unlink(missing_ok=True)


def read_owner(path: Path) -> Owner | None:
    """Who is named in the claim, dead or alive; None if there is no such file."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # half written when a process was killed or a machine lost power
        return Owner(host="an unknown host", place="", pid=0, started="", token="")


def end_claim_of(job: str, path: Path) -> None:
    """Removes the claim if it belongs to this Slurm job, which the caller knows to have ended."""
    owner = read_owner(path)
    if owner is not None and job and owner.job == job:
        path.unlink(missing_ok=True)


def _take_over(candidate: Path, path: Path) -> bool:
    """Replaces a dead owner's claim. Of several processes that try at once, one wins.

    All of them must first take a second claim, the guard, and look again while holding it, so that none that found the
    owner dead replaces the claim of one that has just taken over. A dead owner's guard is taken over in the same way.
    """
    if live_owner(path) is not None:
        return False
    guard = take(path.with_name(path.name + GUARD))
    if guard is None:
        return False
    try:
        if read_owner(path) is None:  # released meanwhile
            return _link(candidate, path)
        if live_owner(path) is not None:
            return False
        candidate.replace(path)
        return True
    finally:
        guard.release()


def _link(candidate: Path, path: Path) -> bool:
    try:
        with named_in_errors(path, candidate):
            path.hardlink_to(candidate)
    except FileExistsError:
        return candidate.stat().st_nlink == 2  # over NFS a link may be made and its confirmation lost
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        raise UserError(
            f"{path.parent} is on a file system without hard links ({error.strerror}), which keep runners apart: "
            "choose another --out"
        ) from None
    return True


def _myself() -> Owner:
    pid = os.getpid()
    return Owner(
        host=platform.node(),
        place=_place(),
        pid=pid,
        started=process_start(pid) or "",
        token=uuid.uuid4().hex,
        job=own_job_id(),
        job_run=own_restarts(),
    )


@functools.cache
def _place() -> str:
    """The host, its boot and its space of process numbers: containers on one host number processes differently."""
    facts = [platform.node()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(facts)
