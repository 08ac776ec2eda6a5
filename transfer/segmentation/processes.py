"""One process for each GPU, in the way that MMEngine expects: its environment variables are set and the group exists,
so that its launcher, which knows NCCL and torchrun alone, has nothing left to do."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

Result = TypeVar("Result")
Report = Callable[[int, int, str], None]  # steps done, steps in all, what is being done

BACKENDS = {"cuda": "nccl", "cpu": "gloo"}


def launch(
    function: Callable[[Any, Report], Result], job: Any, *, num_processes: int, device: str, progress: Report
) -> Result:
    """Calls ``function(job, report)`` in ``num_processes`` processes of one group; here if it is one.

    Args:
        function: importable by name.
        job: can be pickled.
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
    listener = threading.Thread(target=_listen, args=(messages, progress, results))
    listener.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            meeting_point = (Path(folder) / "rendezvous").as_uri()
            arguments = (num_processes, device, meeting_point, messages, function, job)
            torch.multiprocessing.spawn(_process, nprocs=num_processes, args=arguments)
    finally:
        messages.put(("end", None))
        listener.join()
    return results[0]


def _listen(messages: Any, progress: Report, results: list[Any]) -> None:
    while True:
        kind, content = messages.get()
        if kind == "end":
            return
        if kind == "progress":
            progress(*content)
        else:
            results.append(content)


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
        result = function(job, lambda *step: messages.put(("progress", step)) if rank == 0 else None)
        if rank == 0:
            messages.put(("result", result))
    finally:
        dist.destroy_process_group()
