"""Checks that all processes of a run agree: each has its own command line and perhaps its own disk."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch

from pretrain.data.dataset import TwistDataset
from pretrain.distributed import Process, gather_objects
from pretrain.recipe import Recipe, as_dict
from pretrain.run.checkpoint import differences
from pretrain.run.precision import IN_WORDS, precision_of
from twist_common.cli import EXIT_BAD_USE
from twist_common.errors import UserError
from twist_common.files import named_in_errors
from twist_common.gpus import described

ROOT = Path(__file__).resolve().parents[2]
LOCK_NAME = ".lock"
SAME_OUT = "give all processes one --out, on a file system that they share"
SAME_DATA = "give all processes the same images with --data"
SHARED_SECONDS = 10.0  # after which a file that one node wrote is seen by the others on NFS (acregmin is 3 s)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Fact:
    """A value that must be the same in all processes.

    Attributes:
        value: is compared.
        shown: the value as it appears in the message "process 1 has ...".
        remedy: what the user should do if it differs.
    """

    value: Any
    shown: str
    remedy: str


def check_start(recipe: Recipe, process: Process) -> None:
    """Checks, before data and results are read, that all processes run the same thing; prints the run's first line.

    Raises:
        UserError: they differ. Only the first process raises it; the others exit silently.
    """
    settings = as_dict(recipe)
    del settings["run"]["num_workers"]
    device = process.device.type
    precision = in_all_processes(lambda: precision_of(recipe, device, process.has_bf16), process)
    agree(
        [
            Fact(torch.__version__, f"torch {torch.__version__}", "install the same on all machines"),
            Fact(code_sha256(), f"code {code_sha256()[:8]} in {ROOT}", "use one checkout on all machines"),
            Fact(settings, f"the recipe {recipe.name}", "give all processes the same recipe and overrides"),
            Fact(process.world_size, f"{process.world_size} processes", "start them all in one way"),
            Fact(precision, f"precision {IN_WORDS[precision]} on {device}", "use GPUs of one kind, or set precision"),
        ],
        process,
    )
    hosts = set(gather_objects(platform.node(), process))
    if process.is_first:
        processes = "1 process" if process.world_size == 1 else f"{process.world_size} processes"
        where = f"{processes} on {len(hosts)} machines" if len(hosts) > 1 else processes
        print(f"device: {described(device)}; {where}; precision: {IN_WORDS[precision]}", flush=True)


def agree(facts: list[Fact], process: Process) -> None:
    """Compares each fact over all processes; a collective operation.

    Raises:
        UserError: one differs. Only the first process raises it; the others exit silently.
    """
    (first_host, first), *others = gather_objects((platform.node(), facts), process)
    for rank, (host, theirs) in enumerate(others, start=1):
        for mine, other in zip(first, theirs, strict=True):
            if other.value != mine.value:
                details = ""
                if isinstance(mine.value, dict):
                    run = differences(mine.value["run"], other.value["run"], "run.")
                    details = f" ({', '.join(differences(mine.value, other.value) + run)})"
                _refuse(
                    f"process {rank} on {host} has {other.shown}, process 0 on {first_host} has {mine.shown}{details}: "
                    f"{mine.remedy}",
                    process,
                )


def check_data(dataset: TwistDataset, data: Path, process: Process) -> None:
    """Checks that all processes have the same images; raises as :func:`agree`."""
    fingerprint = dataset.fingerprint()
    agree(
        [
            Fact(len(dataset), f"{len(dataset)} images in {data.resolve()}", SAME_DATA),
            Fact(fingerprint, f"images with the hash {fingerprint[:8]} in {data.resolve()}", SAME_DATA),
        ],
        process,
    )


def in_all_processes(prepare: Callable[[], Result], process: Process) -> Result:
    """Calls ``prepare`` in every process; a collective operation.

    Raises:
        UserError: ``prepare`` raised one in some process. Only the first process raises it; the others exit silently.
    """
    result, error = None, None
    try:
        result = prepare()
    except UserError as raised:
        error = str(raised)
    errors = gather_objects((platform.node(), error), process)
    for rank, (host, text) in enumerate(errors):
        if text is not None:
            _refuse(text if all(text == each for _, each in errors) else f"process {rank} on {host}: {text}", process)
    return result  # type: ignore[return-value]


def hold_same_folder(out: Path, process: Process) -> None:
    """Checks that ``out``, whose lock the first process holds, is the same folder for all; a collective operation.

    Raises:
        UserError: in some process the path leads to another folder.
    """
    mark = uuid.uuid4().hex
    lock = out / LOCK_NAME
    if process.is_first:
        with named_in_errors(lock):
            lock.write_text(mark)
    host, place, mark = gather_objects((platform.node(), out.resolve(), mark), process)[0]

    def look() -> None:
        deadline = time.monotonic() + SHARED_SECONDS
        while not (lock.is_file() and lock.read_text() == mark):
            if time.monotonic() > deadline:
                raise UserError(
                    f"--out is {out.resolve()}, which is not the folder {place} of process 0 on {host}: {SAME_OUT}"
                )
            time.sleep(0.05)

    in_all_processes(look, process)


@functools.cache
def code_sha256() -> str:
    """Hash of the code that pre-training consists of."""
    digest = hashlib.sha256()
    for package in ("twist_common", "pretrain"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _refuse(sentence: str, process: Process) -> NoReturn:
    if process.is_first:
        raise UserError(sentence)
    sys.exit(EXIT_BAD_USE)
