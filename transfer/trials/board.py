"""What a run's trials are doing and how long they will take: the state behind the live table, without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twist_common.progress import Pace

WAITING, ELSEWHERE, RUNNING, DONE, FAILED, REFUSED = "waiting", "elsewhere", "running", "done", "failed", "refused"


@dataclass
class BoardRow:
    """One trial.

    Attributes:
        kind: its benchmark; trials of one kind take about the same time.
        detail: what is being done, the main metric, why the trial failed, or who else runs it.
        began, ended: in seconds on the board's clock.
        pace: of the present phase.
    """

    label: str
    kind: str
    state: str = WAITING
    detail: str = ""
    device: str = ""
    step: int = 0
    num_steps: int = 0
    began: float = 0.0
    ended: float = 0.0
    pace: Pace = field(default_factory=Pace)

    def phase_seconds_left(self, now: float) -> float | None:
        """How long the rest of the present phase takes at its pace so far; None while that is unknown."""
        pace = self.pace.seconds_per_step(now)
        return None if pace is None else pace * (self.num_steps - self.step)


class Board:
    """The rows of a run, in the order of its plans.

    Args:
        trials: (label, kind) of each trial that has no record yet.
        num_devices: how many trials run at a time, for the ETA.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, trials: Sequence[tuple[str, str]], *, num_devices: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rows = {label: BoardRow(label=label, kind=kind) for label, kind in trials}
        self.num_devices = num_devices
        self.clock = clock

    def start(self, label: str, device: str) -> None:
        row = self.rows[label]
        row.state, row.device, row.began, row.detail = RUNNING, device, self.clock(), "starting"

    def advance(self, label: str, step: int, num_steps: int, what: str) -> None:
        row = self.rows[label]
        if (what, num_steps) != (row.detail, row.num_steps):
            row.pace = Pace()
        row.pace.add(self.clock(), step)
        row.step, row.num_steps, row.detail = step, num_steps, what

    def move(self, label: str, state: str, detail: str = "") -> None:
        """Moves a trial to a state in which it does not run here."""
        row = self.rows[label]
        row.state, row.detail, row.device, row.ended = state, detail, "", self.clock()

    def of(self, *states: str) -> list[BoardRow]:
        """Rows in any of these states."""
        return [row for row in self.rows.values() if row.state in states]

    def seconds_left(self, row: BoardRow) -> float | None:
        """Of a running trial: what others of its kind took minus the time it has had, or its phase's rest if longer."""
        now = self.clock()
        known = [left for left in (row.phase_seconds_left(now),) if left is not None]
        if (whole := self._mean_seconds(row.kind)) is not None:
            known.append(max(whole - (now - row.began), 0.0))
        return max(known, default=None)

    def all_seconds_left(self) -> float | None:
        """Until the last trial ends, with all devices kept busy; None while nothing is known.

        Trials of a kind that nothing is known about are assumed to take the mean of the other kinds.
        """
        running = self.of(RUNNING)
        lefts = [left for row in running if (left := self.seconds_left(row)) is not None]
        kinds: dict[str, float] = {}
        for row in self.of(RUNNING, DONE):
            if (whole := self._mean_seconds(row.kind)) is not None:
                kinds[row.kind] = whole
            elif (left := self.seconds_left(row)) is not None:
                kinds[row.kind] = self.clock() - row.began + left
        if not kinds:
            return None
        mean = sum(kinds.values()) / len(kinds)
        waiting = [kinds.get(row.kind, mean) for row in self.of(WAITING)]
        unknown = mean * (len(running) - len(lefts))
        return max([(sum(waiting) + sum(lefts) + unknown) / self.num_devices, *lefts])

    def _mean_seconds(self, kind: str) -> float | None:
        """Of the trials of this kind that are done."""
        seconds = [row.ended - row.began for row in self.of(DONE) if row.kind == kind and row.began]
        return sum(seconds) / len(seconds) if seconds else None
