"""One process per GPU, all in one group, which Detectron2 and MMEngine find when they are started in each of them.

Detectron2's own launcher imports the framework before it can be prepared for current libraries
(:mod:`transfer.compat`) and refuses to run without GPUs; MMEngine's supports NCCL and torchrun alone. With the group
and torchrun's environment variables in place, both frameworks have nothing left to launch.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from transfer import peak_memory

Result = TypeVar("Result")
Report = Callable[[int, int, str], None]  # steps done, steps in all, what is being done

BACKENDS = {"cuda": "nccl", "cpu": "gloo"}
RESULT, PROGRESS, PEAK, END = "result", "progress", "peak", "end"


def launch(
    function: Callable[[Any, Report], Result], job: Any, *, num_processes: int, device: str, progress: Report
) -> Result:
    """Calls ``function(job, report)`` in ``num_processes`` processes of one group; in this process if it is one.

    Args:
        function: importable by name.
        job: anything that can be pickled.
        device: ``"cuda"`` (process i has GPU i) or ``"cpu"``.
        progress: called in this process with what rank 0 reports.

    Returns:
        What ``function`` returned in rank 0.

    Raises:
        torch.multiprocessing.ProcessRaisedException: a process raised; holds its traceback.
    """
    if num_processes == 1:
        return function(job, progress)
    messages = torch.multiprocessing.get_context("spawn").SimpleQueue()
    results: list[Result] = []

    def listen() -> None:
        while (message := messages.get())[0] != END:
            kind, content = message
            if kind == PROGRESS:
                progress(*content)
            elif kind == PEAK:
                peak_memory.of_launched.append(content)
            else:
                results.append(content)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            meeting_point = (Path(folder) / "rendezvous").as_uri()
            arguments = (num_processes, device, meeting_point, messages, function, job)
            torch.multiprocessing.spawn(_process, nprocs=num_processes, args=arguments)
    finally:
        messages.put((END, None))
        listener.join()
    return results[0]


def _process(
    rank: int,
    num_processes: int,
    device: str,
    meeting_point: str,
    messages: Any,
    function: Callable[[Any, Report], Any],
    job: Any,
) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(num_processes))
    if device == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group(BACKENDS[device], init_method=meeting_point, world_size=num_processes, rank=rank)
    try:
        result = function(job, lambda *step: messages.put((PROGRESS, step)) if rank == 0 else None)
        if rank == 0:
            messages.put((PEAK, peak_memory.peak_bytes(device)))
            messages.put((RESULT, result))
    finally:
        dist.destroy_process_group()
