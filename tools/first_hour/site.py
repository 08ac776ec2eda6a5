"""The site of the checks: a device, a folder, and a few real digits in the benchmarks' layouts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import twist_configs.pretrain
from pretrain.recipe import Recipe
from twist_common import overrides
from twist_common.digits import generate
from twist_common.gpus import num_processes

ROOT = Path(__file__).resolve().parents[2]
NUM_IMAGES = 64
SMALL = (
    "epochs=2", "data.batch_size=32", "model.hidden=32", "model.num_classes=16", "run.num_workers=0",
    "run.keep_epochs=1", "run.log_steps=1",
)  # fmt: skip


class CheckError(Exception):
    """A check has failed; the message says how."""


class SkippedError(Exception):
    """A check cannot be made on this machine; the message says why."""


@dataclass(frozen=True)
class Site:
    """A machine to be checked.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``.
        folder: for everything that the checks write.
    """

    device: str
    folder: Path

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device, 0) if self.device == "cuda" else torch.device("cpu")

    @property
    def num_processes(self) -> int:
        """The number of processes for distributed training: one per GPU, two on CPU."""
        return num_processes("cuda") if self.device == "cuda" else 2

    @property
    def digits(self) -> Path:
        """All embedded data."""
        return self.folder / "digits"

    @property
    def few(self) -> Path:
        """Some of the digits, to pre-train on."""
        return self.folder / "few"

    def prepare(self) -> None:
        """Writes the data."""
        generate(self.digits)
        self.take_few()

    def take_few(self) -> None:
        """Fills :attr:`few` from :attr:`digits`."""
        for path in sorted((self.digits / "imagefolder" / "train").glob("*/*.png"))[:: 3823 // NUM_IMAGES][:NUM_IMAGES]:
            place = self.few / "train" / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)

    def recipe(self, *changes: str) -> Recipe:
        """A small recipe for :attr:`few`, whose batch the machine's processes can share."""
        batch_size = 32 if 32 % self.num_processes == 0 else 4 * self.num_processes
        return overrides.apply(twist_configs.pretrain.get("demo"), [*SMALL, f"data.batch_size={batch_size}", *changes])

    def run(self, line: Sequence[str | Path], *, seconds: float) -> str:
        """What ``python line`` prints.

        Raises:
            CheckError: it fails, or takes too long.
        """
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, *map(str, line)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise CheckError(f"not finished after {seconds:.0f} s") from None
        if process.returncode:
            raise CheckError(f"exit code {process.returncode}: {(output.strip().splitlines() or ['no output'])[-1]}")
        return output
