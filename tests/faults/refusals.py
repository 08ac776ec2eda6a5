"""Every command on a system that refuses: a full disk, a quota, a limit, a lost right, from any of its calls on.

By hand, for half an hour or more: ``python -m tests.faults.refusals OUT [COMMAND ...]``. ``refuse.c`` is loaded before
the C library, so what torch, safetensors and others write is refused as well. For each command it prints what is not
one sentence with a path and exit code 1 or 2, what is left over, and what differs when the command was started again
without the fault.
"""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from tests.faults import drill
from tests.kills import differences

SOURCE = Path(__file__).with_name("refuse.c")
# Errors, and from how many of a command's calls on each is given; those of one kind differ in their words alone.
TIMES = int(os.environ.get("TIMES", "3"))
NUMBERS = {
    errno.ENOSPC: TIMES,
    errno.EDQUOT: 1,
    errno.EFBIG: 1,
    errno.EACCES: TIMES,
    errno.EROFS: 1,
    errno.EMFILE: TIMES,
}


def compiled(folder: Path) -> Path:
    """``refuse.c`` as a library in the folder."""
    library = folder / "refuse.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Refusing:
    """Runs one command on systems that refuse, in folders of its own.

    Attributes:
        wrong: everything that should not be, a line each.
    """

    def __init__(self, command: drill.Command, out: Path, library: Path) -> None:
        self.command, self.out, self.library = command, out, library
        self.wrong: list[str] = []
        out.mkdir(parents=True)
        if code := self._run(out / "whole", errno.ENOSPC, first=0)[0]:
            self.wrong.append(f"undisturbed it ends with {code}")

    def _run(self, folder: Path, number: int, first: int) -> tuple[int, str, int]:
        """Exit code, errors and number of calls; the first call refused is ``first``, none if that is 0."""
        calls = self.out / "calls"
        calls.write_bytes(bytes(8))
        fault = {
            "LD_PRELOAD": str(self.library),
            "REFUSE_BELOW": str(folder),
            "REFUSE_COUNT": str(calls),
            "REFUSE_FROM": str(first or 2**60),
            "REFUSE_ERRNO": str(number),
        }
        log = self.out / "stderr.txt"
        with log.open("w") as stderr:
            code = drill.start(self.command, folder, stderr, fault).wait()
        return code, log.read_text(errors="replace"), struct.unpack("=Q", calls.read_bytes())[0]

    def refuse(self, number: int, times: int) -> None:
        """Refuses with the error from ``times`` calls on that are spread over the command's; then lets it end."""
        calls = self._run(self.out / "counted", number, first=0)[2]
        shutil.rmtree(self.out / "counted")
        draw = random.Random(number)
        for first in sorted(draw.randint(1, max(calls, 1)) for _ in range(times)):
            where = f"{errno.errorcode[number]} from call {first} of {calls} on"
            folder = self.out / "refused"
            code, said, _ = self._run(folder, number, first)
            last = said.strip().rpartition("\n")[2]
            # what a command can do without, such as its memory of checked files, it may pass over
            is_whole = code == 0 and not differences(self.out / "whole", folder)
            is_said = code in (1, 2) and re.match(r".*error: .*/", last) and "Traceback" not in said
            if not is_whole and not is_said:
                self.wrong.append(f"{where}: exit code {code}, {said[-700:]!r}")
            self.wrong += [f"{where}: still runs: {line}" for line in drill.orphans(folder)]
            if number != errno.EMFILE:  # a folder that cannot be opened cannot be removed: the next start does
                self._look_for_left(folder, where)
            if again := drill.start(self.command, folder).wait():
                self.wrong.append(f"{where}: started again it ends with {again}")
            self._look_for_left(folder, f"{where}, again")
            ignored = re.compile(self.command.measures)
            self.wrong += [
                f"{where}: {line}"
                for line in differences(self.out / "whole", folder)
                if not ignored.search(line.split()[1].rpartition("/")[2])
            ]
            shutil.rmtree(folder)

    def _look_for_left(self, folder: Path, where: str) -> None:
        left = [path for path in folder.rglob("*") if re.search(r"\.tmp|claim", path.name)]
        self.wrong += [f"{where}: left: {path.relative_to(folder)}" for path in left]


def main() -> int:
    out = Path(sys.argv[1]).resolve()
    every = drill.commands_with_inputs(out / "inputs")
    library, wrong = compiled(out), 0
    for name, command in every.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        refusing = Refusing(command, out / name, library)
        for number, times in NUMBERS.items():
            refusing.refuse(number, times)
        print(f"{name}: {len(refusing.wrong)} things wrong", flush=True)
        print("".join(f"  {line}\n" for line in refusing.wrong), end="", flush=True)
        wrong += len(refusing.wrong)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
