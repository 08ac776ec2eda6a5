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
    errno.EOPNOTSUPP: 1,  # for hard links alone
}
# These refuse the same calls as another, so a command makes as many of them.
SAME_CALLS = {errno.EDQUOT: errno.ENOSPC, errno.EFBIG: errno.ENOSPC, errno.EROFS: errno.EACCES}
# Of a trial that could still be recorded as failed, the next line says how many there were.
ONE_SENTENCE = re.compile(r".*(error|failed): .*/")
# A claim is a hard link; what else makes one can copy the file instead.
NEEDS_LINKS = re.compile("error: .* is on a file system without hard links ")


def compiled(folder: Path) -> Path:
    """``refuse.c`` as a library in the folder."""
    library = folder / "refuse.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Refusing:
    """Runs one command on systems that refuse, in folders of its own.

    Attributes:
        wrong: everything that should not be, a line each.
        refused: how often it was started on a system that refuses.
        calls: that it makes undisturbed, by error, of those that the error refuses.
    """

    def __init__(self, command: drill.Command, out: Path, library: Path) -> None:
        self.command, self.out, self.library = command, out, library
        self.wrong: list[str] = []
        self.refused = self._told = 0
        out.mkdir(parents=True)
        code, _, calls = self._run(out / "whole", errno.ENOSPC, first=0)
        self.calls = {errno.ENOSPC: calls}
        if code:
            self.wrong.append(f"undisturbed it ends with {code}")

    def _run(self, folder: Path, number: int, first: int) -> tuple[int, str, int]:
        """Exit code, errors and number of calls; the first call refused is ``first``, none if that is 0."""
        calls = self.out / "calls"
        calls.write_bytes(bytes(8))
        fault = {
            "LD_PRELOAD": str(self.library),
            # what a command reads beside its folder needs a descriptor too
            "REFUSE_BELOW": str(self.out.parent if number == errno.EMFILE else folder),
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
        kind = SAME_CALLS.get(number, number)
        if kind not in self.calls:
            self.calls[kind] = self._run(self.out / "counted", number, first=0)[2]
            shutil.rmtree(self.out / "counted")
        calls = self.calls[kind]
        draw = random.Random(number)
        for first in sorted(draw.randint(1, calls) for _ in range(times if calls else 0)):
            where = f"{errno.errorcode[number]} from call {first} of {calls} on"
            folder = self.out / "refused"
            code, said, _ = self._run(folder, number, first)
            self.refused += 1
            is_claim = number == errno.EOPNOTSUPP
            self.judge(where, folder, code, said, NEEDS_LINKS if is_claim else ONE_SENTENCE)
            if number != errno.EMFILE:  # a folder that cannot be opened cannot be removed: the next start does
                self.look_for_left(folder, where)
            self.start_again(where, folder)
            shutil.rmtree(folder)

    def tell(self, name: str) -> None:
        """Prints figures so far, and what is wrong since it was last called."""
        print(f"{name}: {self.refused} times refused, {len(self.wrong)} things wrong", flush=True)
        print("".join(f"  {line}\n" for line in self.wrong[self._told :]), end="", flush=True)
        self._told = len(self.wrong)

    def judge(self, where: str, folder: Path, code: int, said: str, sentence: re.Pattern[str]) -> None:
        """Notes what should not be in how the command ended; what it can do without it may pass over, as a cache."""
        is_whole = code == 0 and not self._differences(folder)
        is_said = code in (1, 2) and any(map(sentence.match, said.splitlines()[-2:])) and "Traceback" not in said
        if not is_whole and not is_said:
            self.wrong.append(f"{where}: exit code {code}, {said[-700:]!r}")
        self.wrong += [f"{where}: still runs: {line}" for line in drill.orphans(folder)]

    def look_for_left(self, folder: Path, where: str) -> None:
        left = [path for path in folder.rglob("*") if re.search(r"\.tmp|claim", path.name)]
        self.wrong += [f"{where}: left: {path.relative_to(folder)}" for path in left]

    def start_again(self, where: str, folder: Path) -> None:
        """Lets it end on a system that refuses nothing, and compares."""
        if again := drill.start(self.command, folder).wait():
            self.wrong.append(f"{where}: started again it ends with {again}")
        self.look_for_left(folder, f"{where}, again")
        self.wrong += [f"{where}: {line}" for line in self._differences(folder)]

    def _differences(self, folder: Path) -> list[str]:
        ignored, found = re.compile(self.command.measures), differences(self.out / "whole", folder)
        return [line for line in found if not ignored.search(line.split()[1].rpartition("/")[2])]


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
            refusing.tell(name)
        wrong += len(refusing.wrong)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
