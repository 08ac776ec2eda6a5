"""SIGKILLs at random moments of a command that runs trials, and whether they changed anything.

By hand, for a suite that takes minutes: ``python -m tests.kills OUT KILLS LONGEST_SECONDS -- COMMAND...``; ``{}`` in
the command is where records go. It runs the command undisturbed below OUT/whole, killed below OUT/killed, and compares.
Trials that start from nothing again come through only if the longest moment is well above their time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transfer.record import TrialRecord
from transfer.trials.claim import Owner, live_owner

# What measures the run, not the trial.
MEASURED = {"wall_seconds": 0.0, "device_hours": 0.0, "peak_bytes": 0, "ledger": "", "seal": ""}
# Records are compared field by field; the others depend on when a run took place: ledger, output, curves, MMEngine's
# folders.
NOT_COMPARED = re.compile(r"record\.json|ledger\.jsonl|log\.txt|events\.out\.tfevents\..*|\d{8}_\d{6}(\..*)?")


@dataclass
class Kills:
    """What was killed.

    Attributes:
        runners: that were killed while they ran.
        in_trials: of them, those killed while a trial ran.
        trials: processes of trials that were killed by themselves.
        exit_codes: of the starts that ended before they were killed, and of the last.
    """

    runners: int = 0
    in_trials: int = 0
    trials: int = 0
    exit_codes: list[int] = field(default_factory=list)


def run_and_kill(
    command: Sequence[str], runs: Path, *, num_kills: int, longest_s: float, seed: int, environment: dict[str, str]
) -> Kills:
    """Starts the command, kills it, starts it again, ``num_kills`` times; then lets it end.

    Every other time the moment is drawn from the start of the command, else from when a trial is seen to run, so that
    on slow machines too trials are hit. Every third time a trial's process is killed some time before, as soon as one
    runs.

    Args:
        runs: where the command writes its records.
        longest_s: the latest moment, in seconds.
        seed: of the moments.
    """
    moments = random.Random(seed)
    kills = Kills()
    while kills.runners < num_kills:
        process = _start(command, environment)
        if kills.runners % 2:
            _wait_for_trial(process, runs)
        if kills.runners % 3 == 2:
            _sleep_while_it_runs(process, moments.uniform(0.0, longest_s))
            if owners := _wait_for_trial(process, runs):
                os.kill(moments.choice(owners).pid, signal.SIGKILL)
                kills.trials += 1
        _sleep_while_it_runs(process, moments.uniform(0.0, longest_s))
        if process.poll() is not None:
            kills.exit_codes.append(process.wait())
            if not kills.exit_codes[-1]:
                raise AssertionError(f"the command ended before it was killed {num_kills} times: give it more trials")
            continue  # a trial that had been killed failed, and all others are done
        kills.runners += 1
        kills.in_trials += bool(running_trials(runs))
        process.kill()
        process.wait()
        print(f"kill {kills.runners}: {kills.in_trials} in trials, {kills.trials} trials by themselves", flush=True)
    kills.exit_codes.append(_start(command, environment).wait())
    return kills


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def _wait_for_trial(process: subprocess.Popen[bytes], runs: Path) -> list[Owner]:
    """The owners of the trials that run, at least one; none only where the command ended without."""
    while not (owners := running_trials(runs)) and process.poll() is None:
        time.sleep(0.01)
    return owners


def _sleep_while_it_runs(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def running_trials(runs: Path) -> list[Owner]:
    """The live owners of claims below ``runs``."""
    return [owner for path in sorted(runs.rglob(".*.claim")) if (owner := live_owner(path))]


def records(runs: Path) -> dict[str, TrialRecord]:
    """Path below ``runs`` to record, without what measures the run."""
    return {
        path.relative_to(runs).as_posix(): dataclasses.replace(TrialRecord.load(path), **MEASURED)  # type: ignore[arg-type]
        for path in sorted(runs.rglob("record.json"))
    }


def files(runs: Path) -> dict[str, str]:
    """Path below ``runs`` to the hash of each file that must be the same after any number of kills."""
    return {
        path.relative_to(runs).as_posix(): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(runs.rglob("*"))
        if path.is_file() and not any(NOT_COMPARED.fullmatch(part) for part in path.relative_to(runs).parts)
    }


def _content(path: Path) -> bytes:
    """The file's bytes; of safetensors with the header in order, whose entries that library writes in a random one."""
    content = path.read_bytes()
    if path.suffix != ".safetensors":
        return content
    end = 8 + int.from_bytes(content[:8], "little")
    return json.dumps(json.loads(content[8:end]), sort_keys=True).encode() + content[end:]


def differences(whole: Path, killed: Path) -> list[str]:
    """One line for each record or file that is not the same in both, or only in one."""
    found = []
    for what, read in (("record", records), ("file", files)):
        left, right = read(whole), read(killed)
        for path in sorted(left.keys() | right.keys()):
            if path not in right:
                found.append(f"{what} {path} is missing after the kills")
            elif path not in left:
                found.append(f"{what} {path} is there only after the kills")
            elif left[path] != right[path]:
                found.append(f"{what} {path} differs{_which(left[path], right[path])}")
    return found


def _which(left: object, right: object) -> str:
    if not isinstance(left, TrialRecord) or not isinstance(right, TrialRecord):
        return ""
    names = [one.name for one in dataclasses.fields(left) if getattr(left, one.name) != getattr(right, one.name)]
    return f" in {', '.join(names)}"


def main() -> int:
    out, num_kills, longest_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    command = sys.argv[5:]

    def into(folder: Path) -> list[str]:
        return [word.replace("{}", str(folder)) for word in command]

    began = time.monotonic()
    subprocess.run(into(out / "whole"), check=True, stdout=subprocess.DEVNULL)
    print(f"undisturbed: {len(records(out / 'whole'))} records in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    kills = run_and_kill(
        into(out / "killed"), out / "killed", num_kills=num_kills, longest_s=longest_s, seed=0, environment={}
    )
    print(f"{kills}: {len(records(out / 'killed'))} records in {time.monotonic() - began:.0f} s")
    found = differences(out / "whole", out / "killed")
    print("\n".join(found or ["no difference"]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
