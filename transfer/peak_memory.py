"""The most memory that a trial took, in this process or in those that it started. Imports torch for GPUs alone."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

# Bytes, of the first processes that :func:`transfer.processes.launch` started.
of_launched: list[int] = []


def peak_bytes(device: str) -> int:
    """The peak of this process or of a first one that was launched: allocated on its GPU, or resident on CPU."""
    if device == "cuda":
        import torch

        return max([torch.cuda.max_memory_allocated(), *of_launched])
    return max([_resident_bytes(), *of_launched])


def _resident_bytes() -> int:
    """This program's own peak.

    Linux's ``ru_maxrss`` has that of the process which started this one too: it outlives ``execve``
    (``setmax_mm_hiwater_rss(&tsk->signal->maxrss, old_mm)`` in https://github.com/torvalds/linux/blob/v6.6/fs/exec.c).
    """
    status = Path("/proc/self/status")
    if found := re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text() if status.is_file() else "", re.MULTILINE):
        return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
