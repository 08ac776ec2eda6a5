"""From the progress that a short trial reported to the time of a whole one. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from transfer.work import TRAINING, Work

PHASE_SECONDS = 20.0  # a phase is watched for so long
WORTH_WAITING_SECONDS = 60.0  # and to its end if that is so near: then what follows is seen too


@dataclass(frozen=True)
class Tick:
    """A report of a trial: seconds since its start, steps done, steps in all, what is being done."""

    seconds: float
    done: int
    total: int
    what: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How long a trial takes.

    Attributes:
        wall_seconds: of the whole trial.
        deviation: standard error of this from the variation between steps; drift in longer runs is not in it.
        parts: what was measured, in words.
        unseen: phases that were not watched.
        to_the_end: whether what comes after the last phase was watched too.
    """

    wall_seconds: float
    deviation: float
    parts: tuple[str, ...]
    unseen: tuple[str, ...]
    to_the_end: bool


def extrapolate(ticks: Sequence[Tick], work: Work, *, end: float | None, cut: bool) -> Measured | None:
    """The time that the whole trial takes; None if not even two steps were seen.

    Steps count from a phase's first report: what comes before it (start-up, conversion, the first step, which is slow)
    counts once, as it was measured. So does what the last step of a cut phase takes longer than the others, such as
    precise batch norm.

    Args:
        ticks: in order.
        work: of the whole trial.
        end: seconds from the start to the trial's own end; None: it was stopped.
        cut: whether the training was cut short with ``shortened``, so that its true length is that of ``work``.
    """
    lengths = {phase.what: phase.num_steps for phase in work.phases if cut and phase.what == TRAINING}
    seconds, variance, parts, before = 0.0, 0.0, [], 0.0
    for group in _groups(ticks):
        first, last = group[0], group[-1]
        seconds += last.seconds - before
        before = last.seconds
        remaining = lengths.get(first.what, last.total) - last.done
        # The last step of a cut training may do more than a step.
        steady = group[:-1] if first.what in lengths and last.done == last.total else group
        if steady[-1].done == first.done:
            if remaining > 0:
                return None
            continue
        rate, error = _rate(steady)
        seconds += remaining * rate
        variance += (remaining * error) ** 2
        pace = f"{rate:.2f} s" if rate >= 1 else f"{1000 * rate:.3g} ms"
        parts.append(f"{first.what} {pace} over {steady[-1].done - first.done} steps")
    if not parts:
        return None
    seen = {tick.what for tick in ticks}
    unseen = tuple(phase.what for phase in work.phases if phase.reported and phase.what not in seen)
    if end is not None:
        seconds += end - before
    return Measured(
        wall_seconds=seconds, deviation=variance**0.5, parts=tuple(parts), unseen=unseen, to_the_end=end is not None
    )


def _groups(ticks: Sequence[Tick]) -> list[list[Tick]]:
    """The reports of each thing done; one that begins again, such as features of another split, counts as another."""
    groups: list[list[Tick]] = []
    for tick in ticks:
        before = groups[-1][-1] if groups else None
        if before and (before.what, before.total) == (tick.what, tick.total) and before.done <= tick.done:
            groups[-1].append(tick)
        else:
            groups.append([tick])
    return groups


def _rate(ticks: Sequence[Tick]) -> tuple[float, float]:
    """Seconds per step, and the standard error of that mean."""
    num_steps = ticks[-1].done - ticks[0].done
    rate = (ticks[-1].seconds - ticks[0].seconds) / num_steps
    paces = [
        (later.seconds - earlier.seconds) / (later.done - earlier.done)
        for earlier, later in itertools.pairwise(ticks)
        if later.done > earlier.done
    ]
    return rate, statistics.stdev(paces) / len(paces) ** 0.5 if len(paces) > 1 else 0.0


def pace_is_known(ticks: Sequence[Tick]) -> bool:
    """Whether the present phase was watched long enough, and its end is far.

    Training ends soon, by :meth:`transfer.task.Task.shortened` or not at all: what comes after it is worth waiting for.
    """
    last = ticks[-1]
    phase = [tick for tick in ticks if tick.what == last.what]
    elapsed = last.seconds - phase[0].seconds
    if last.what == TRAINING or elapsed < PHASE_SECONDS or last.done == phase[0].done:
        return False
    return elapsed / (last.done - phase[0].done) * (last.total - last.done) > WORTH_WAITING_SECONDS
