"""A training by steps: shared by processes, logged, and resumed from its checkpoint after a kill."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from transfer.processes import Report, launch
from transfer.trial import Trial, silent
from twist_common import gpus
from twist_common.background import BackgroundWriter, host_copy
from twist_common.curves import CurveWriter
from twist_common.files import atomic_path, sha256_text

INTERVAL_SECONDS = 60.0  # between checkpoints: what a kill costs at most; a ResNet-50 is written in a second
CURVE_STEPS = 50  # between points of the curves


@dataclass(frozen=True, kw_only=True)
class Group:
    """This process among those that train one model together.

    ``device`` is ``"cpu"``, or ``"cuda"`` for the GPU that :func:`transfer.processes.launch` gave this process.
    """

    device: str
    rank: int = 0
    num_processes: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def this_group(device: str) -> Group:
    """The group that :func:`transfer.processes.launch` made, or this process alone."""
    if not dist.is_initialized():
        return Group(device=device)
    return Group(device=device, rank=dist.get_rank(), num_processes=dist.get_world_size())


def sum_over_processes(values: Tensor, group: Group) -> Tensor:
    """Replaces each process's values, in place, by their sum over the group."""
    if group.num_processes > 1:
        dist.all_reduce(values)
    return values


def num_devices(trial: Trial) -> int:
    """The GPUs that the trial has; 1 on CPU."""
    return gpus.num_processes(trial.device)


def train_in_processes(
    train: Callable[[Trial, Any], object], trial: Trial, protocol: object, num_processes: int
) -> None:
    """Calls ``train(trial, protocol)`` in each of several processes of one group; does nothing if there is only one.

    Args:
        train: importable by name. It writes its result into the trial's work folder, where this process finds it when
            it calls ``train`` itself.
    """
    if num_processes > 1:
        job = train, dataclasses.replace(trial, progress=silent), protocol
        launch(_train, job, num_processes=num_processes, device=trial.device, progress=trial.progress)


def _train(job: tuple[Callable[[Trial, Any], object], Trial, Any], report: Report) -> None:
    train, trial, protocol = job
    train(dataclasses.replace(trial, progress=report), protocol)


class Training:
    """One training by steps. Its state is saved from time to time, and resumed only by the very same training.

    The file is written while the next steps run, and is whole when the training ends, however it does.

    Args:
        checkpoint: the file of its state; the last one holds the result.
        identity: text that determines the training's result. A file with another identity is not used, but replaced.
        curves: folder for TensorBoard.
        group: the processes that train together, of which only the first one writes and reports.
        done: called with the number of steps done and the total.
    """

    def __init__(
        self,
        checkpoint: Path,
        identity: str,
        *,
        num_steps: int,
        curves: Path,
        group: Group,
        done: Callable[[int, int], None],
    ) -> None:
        self.num_steps = num_steps
        self._checkpoint, self._curves, self._group, self._done = checkpoint, curves, group, done
        self._identity = sha256_text(identity)

    def run(
        self,
        take: Callable[[range], Iterable[tuple[int, Tensor]]],
        *,
        state: Callable[[], dict[str, Any]],
        load: Callable[[dict[str, Any]], None],
        scalars: Callable[[Tensor], dict[str, float]],
    ) -> None:
        """Takes the steps that are left, and logs, saves and reports them.

        Args:
            take: takes these steps one at a time; yields how many are done, and the losses of the last one.
            state: tensors, plain containers and numbers, from which the training can be resumed.
            load: resumes from such a state, whose tensors are on the CPU.
            scalars: losses to points of the curves, the one that has to be finite first; called by all processes.

        Raises:
            FloatingPointError: a loss is not a number.
            OSError: the state was not written, e.g. on a full disk.
        """
        first_step = 0
        if self._checkpoint.is_file():
            saved = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
            if saved["identity"] == self._identity:
                load(saved["state"])
                first_step = saved["state"]["step"]
        if first_step == self.num_steps:
            return
        last_saved = time.monotonic()
        with BackgroundWriter() as background, contextlib.ExitStack() as stack:
            if self._group.is_first:  # of a killed run, the points from the first step on are hidden
                writer = CurveWriter(self._curves, first_step)
                stack.callback(writer.close)
            for step, losses in take(range(first_step, self.num_steps)):
                is_last = step == self.num_steps
                points = scalars(losses) if step % CURVE_STEPS == 0 or is_last else {}
                for name, value in points.items():
                    if not math.isfinite(value):
                        raise FloatingPointError(f"{name} is {value} at step {step}: the learning rate is too high")
                if not self._group.is_first:
                    continue
                writer.add("train", points, step)
                background.check()
                if is_last or time.monotonic() - last_saved >= INTERVAL_SECONDS:
                    content = {"identity": self._identity, "state": host_copy({**state(), "step": step})}
                    background.start(partial(self._write, content))
                    last_saved = time.monotonic()
                self._done(step, self.num_steps)

    def _write(self, content: dict[str, Any]) -> None:
        with atomic_path(self._checkpoint) as temporary, temporary.open("wb") as file:
            torch.save(content, file)  # given a path, torch would hide what the system refuses
