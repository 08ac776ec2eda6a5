"""Progress on the terminal: a bar with the time left, or a plain line now and then where there is no terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_LINE_SECONDS = 10.0


class TrainingProgress:
    """Shows steps, epoch, time left, images per second and the loss terms.

    Args:
        num_steps: of the whole run.
        done: steps done in earlier starts of the run.
        batch_size: images a step, over all processes.
        is_shown: False in all processes but the first.
    """

    def __init__(self, num_steps: int, done: int, batch_size: int, is_shown: bool) -> None:
        self._num_steps, self._first_step, self._batch_size = num_steps, done, batch_size
        self._is_shown = is_shown
        console = Console(highlight=False)
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console) if is_shown and console.is_terminal else None
        self._task = self._bar.add_task("", total=num_steps, completed=done) if self._bar else None
        self._start = self._last_line = time.monotonic()

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
        """After each step: ``step`` steps are done, the last one in ``epoch`` (from 0)."""
        if not self._is_shown:
            return
        now = time.monotonic()
        is_due = now - self._last_line >= PLAIN_LINE_SECONDS or step == self._num_steps
        if self._bar is None and not is_due:
            return
        seconds_per_step = (now - self._start) / max(1, step - self._first_step)
        text = f"epoch {epoch + 1} " + " ".join(f"{name} {value:.3f}" for name, value in terms.items())
        text += f" {self._batch_size / seconds_per_step:.0f} images/s"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, description=text)
            return
        left = seconds_per_step * (self._num_steps - step)
        print(f"step {step}/{self._num_steps} {text}, {_clock(left)} left", flush=True)
        self._last_line = now


def _clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
