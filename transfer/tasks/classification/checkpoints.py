"""Where a killed training goes on: its state, written from time to time, taken up only by the very same training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from common.files import atomic_path, sha256_text

INTERVAL_SECONDS = 60.0  # what a kill costs at most; a ResNet-50 is written in a second


class Checkpoints:
    """One training's checkpoint file.

    Args:
        path: of the file; its folder is made.
        identity: text that determines the training's result. A file of another identity is not used, and replaced.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = sha256_text(identity)
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that this training left, on the CPU; None if there is none."""
        if not self._path.is_file():
            return None
        saved = torch.load(self._path, map_location="cpu", weights_only=True)
        return saved["state"] if saved["identity"] == self._identity else None

    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._last >= INTERVAL_SECONDS

    def save(self, state: dict[str, Any]) -> None:
        """Writes the state whole or not at all. Tensors, plain containers and numbers only."""
        with atomic_path(self._path) as temporary:
            torch.save({"identity": self._identity, "state": state}, temporary)
        self._last = time.monotonic()

    def remove(self) -> None:
        """To be called when the result stands elsewhere."""
        self._path.unlink(missing_ok=True)
