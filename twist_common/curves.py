"""Curves for TensorBoard, whose writer works in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from twist_common.files import named_in_errors


class CurveWriter:
    """Points of curves in a folder; what the system refuses is an OSError that names the folder or a file in it.

    Args:
        first_step: of a resumed run, whose points from it on are hidden.
    """

    def __init__(self, folder: Path, first_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        threading.excepthook = _told_later
        with named_in_errors(folder):
            self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def add(self, kind: str, points: Mapping[str, float], step: int) -> None:
        """Adds a point to each curve ``kind/name``."""
        with named_in_errors(self._folder):
            for name, value in points.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Writes what is not written yet."""
        with named_in_errors(self._folder):
            self._writer.close()


def _told_later(failed: threading.ExceptHookArgs) -> None:
    """No traceback of TensorBoard's thread: its writer raises the same error when it is called next."""
    if not type(failed.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(failed)
