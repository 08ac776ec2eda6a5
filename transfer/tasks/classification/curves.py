"""Training curves for TensorBoard, below a trial's work folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

EVERY_STEPS = 50


@contextmanager
def curves(folder: Path, first_step: int) -> Iterator[SummaryWriter]:
    """A writer; what a killed run wrote from ``first_step`` on is hidden."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=first_step)
    try:
        yield writer
    finally:
        writer.close()
