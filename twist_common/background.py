"""Writing beside the work: one file at a time, in a thread of its own, from a copy of what goes on changing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch


class BackgroundWriter:
    """Writes in one thread, a file after the other; errors are raised in the thread that works.

    As a context it ends with what was being written, also where the work ended by an error.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "writer")
        self._writing: Future[None] | None = None

    def start(self, write: Callable[[], None]) -> None:
        """Waits for the file before this one, then calls ``write`` in the thread and returns at once.

        Raises:
            OSError: the file before this one was not written.
        """
        self.wait()
        self._writing = self._thread.submit(write)

    def check(self) -> None:
        """Raises the error of a file that was not written; does not wait for one that is being written."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits until nothing is being written.

        Raises:
            OSError: the file was not written.
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
    """A copy of nested dicts and lists whose tensors are on the CPU, in the layout that they have."""
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
