"""The progress of a run: a progress bar on terminals, plain lines elsewhere, and the speed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from twist_common.progress import Pace, clock_text

PLAIN_LINE_SECONDS = 10.0

Item = TypeVar("Item")


class TrainingProgress:
    """Shows steps, epoch, time left, images per second and the loss terms.

    Args:
        num_steps: steps of the whole run.
        done: steps completed before this start.
        batch_size: images per step, over all processes.
        is_shown: True only in the first process.
    """

    def __init__(self, num_steps: int, done: int, batch_size: int, is_shown: bool) -> None:
        self._num_steps, self._first_step, self._batch_size = num_steps, done, batch_size
        self._is_shown = is_shown
        console = Console(highlight=False)
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console) if is_shown and console.is_terminal else None
        self._task = self._bar.add_task("", total=num_steps, completed=done) if self._bar else None
        self._start = self._last_line = time.monotonic()
        self._pace = Pace()
        self._terms: dict[str, float] = {}

    def __enter__(self) -> TrainingProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, step: int, epoch: int, terms: dict[str, float]) -> None:
        """Call after each step.

        Args:
            step: number of completed steps.
            epoch: that of the last step, counted from 0.
            terms: of the loss; if empty, the last known ones are shown again.
        """
        if not self._is_shown:
            return
        self._terms = {**terms} or self._terms
        now = time.monotonic()
        self._pace.add(now, step)
        is_due = now - self._last_line >= PLAIN_LINE_SECONDS or step == self._num_steps
        if self._bar is None and not is_due:
            return
        known = self._pace.seconds_per_step(now)
        seconds_per_step = known or (now - self._start) / max(1, step - self._first_step)
        text = f"epoch {epoch + 1} " + " ".join(f"{name} {value:.3f}" for name, value in self._terms.items())
        text += f" {self._batch_size / seconds_per_step:.0f} images/s"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, description=text)
            return
        steps_left = self._num_steps - step
        left = clock_text(None if known is None and steps_left else (known or 0) * steps_left)
        print(f"step {step}/{self._num_steps} {text}, {left} left", flush=True)
        self._last_line = now


class Stopwatch(Generic[Item]):
    """Passes items on, and measures how long the consumer waits for them and how long everything takes."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._start = time.monotonic()
        self._wait_seconds = 0.0
        self._num_items = 0

    def __iter__(self) -> Iterator[Item]:
        items = iter(self._items)
        while True:
            asked = time.monotonic()
            try:
                item = next(items)
            except StopIteration:
                return
            self._wait_seconds += time.monotonic() - asked
            self._num_items += 1
            yield item

    def lap(self, images_per_item: int) -> dict[str, float]:
        """Images per second and the share of time spent waiting for them, since the last lap."""
        now = time.monotonic()
        seconds = max(now - self._start, 1e-9)
        speed = {
            "images_per_second": images_per_item * self._num_items / seconds,
            "data_wait_share": self._wait_seconds / seconds,
        }
        self._start, self._wait_seconds, self._num_items = now, 0.0, 0
        return speed
