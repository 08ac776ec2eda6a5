"""Processes: whether one is alive, and since when; the signals that ask one to stop."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

# By which a process is asked to stop. Slurm sends SIGUSR2 before the time limit (submitit asks for it), and SIGTERM
# when it preempts or cancels; many sites and people send SIGUSR1, as by `sbatch --signal=USR1@120`.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def process_start(pid: int) -> str | None:
    """When the process started, as text to compare; None if there is none, or one that has ended."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold anything. After it: the state first, the start in clock ticks as 20th.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip() or None
