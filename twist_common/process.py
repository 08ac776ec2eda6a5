"""Processes: whether one is alive, and since when; the signals that ask one to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, ModuleType

from twist_common import start
from twist_common.places import CODE, is_checkout

# Signals that ask a process to stop. Slurm sends SIGUSR2 before the time limit (as submitit requests), and SIGTERM when
# it preempts or cancels; many sites and users send SIGUSR1, e.g. with `sbatch --signal=USR1@120`.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def process_start(pid: int) -> str | None:
    """When the process started, as text to compare; None if it does not exist or has ended."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold anything. After it: the state first, the start in clock ticks as 20th.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip() or None


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Keeps processes that multiprocessing starts in the block from running the program's main file again.

    They import it to find functions of it by name, of which there are none here; a user's script without
    ``if __name__ == "__main__":`` would start the same trials again in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def run_module(module: str, arguments: Sequence[str]) -> int:
    """Runs ``python -m module arguments`` and returns its exit code; passes on what asks this process to stop.

    The process finds these packages wherever it is started, and imports nothing from the current folder.
    """
    environment = {**os.environ}
    if is_checkout():
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen([sys.executable, start.__file__, "-m", module, *arguments], env=environment) as child:

        def pass_on(number: int, frame: FrameType | None) -> None:
            child.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
        try:
            return child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
