"""Writes files in the background: one at a time, in a thread of its own, from a copy of what continues to change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch


class BackgroundWriter:
    """Writes one file after the other in a background thread; errors are raised in the calling thread.

    As a context manager it finishes the current file on exit, even after an error.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "writer")
        self._writing: Future[None] | None = None

    def start(self, write: Callable[[], None]) -> None:
        """Waits for the previous file, then starts ``write`` in the thread and returns at once.

        Raises:
            OSError: the previous file could not be written.
        """
        self.wait()
        self._writing = self._thread.submit(write)

    def check(self) -> None:
        """Raises the error of a file that could not be written; does not wait for one in progress."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits until nothing is being written.

        Raises:
            OSError: the file could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._thread:
            self.wait()


def host_copy(state: Any) -> Any:
    """A copy of nested dicts and lists with all tensors on the CPU, in their memory layout."""
    if isinstance(state, torch.Tensor):
        return torch.empty_like(state, device="cpu", requires_grad=False).copy_(state.detach())
    if isinstance(state, dict):
        copied = copy.copy(state)  # with the versions of its modules, which torch keeps beside a model's state
        for key, value in state.items():
            copied[key] = host_copy(value)
        return copied
    if isinstance(state, list):
        return [host_copy(value) for value in state]
    return state
