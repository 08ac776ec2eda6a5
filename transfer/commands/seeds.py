"""Which seeds the trials have: ``--trials`` and ``--seeds`` of every transfer command. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from common.errors import UserError

MAX_SEED = 2**31 - 1  # NumPy's global generator takes 32 bits, and the frameworks add the rank to the seed
MAX_TRIALS = 10_000  # of one benchmark and initialisation: a slip such as 1-1000000 is told, not planned


def chosen_seeds(trials: int | None, seeds: Sequence[str], default_trials: int) -> tuple[int, ...]:
    """The seeds that the command line asks for, in its order.

    Args:
        trials: ``--trials``: that many, from 0 up.
        seeds: ``--seeds``: numbers and ranges with both ends in them, e.g. ``["0", "3", "5-9"]``.
        default_trials: how many without either.

    Raises:
        UserError: both are given, fewer than one trial, a seed twice, below 0 or too large, or no number.
    """
    if trials is not None and seeds:
        raise UserError("--trials and --seeds exclude each other: --trials 3 is --seeds 0 1 2")
    if seeds:
        return parse_seeds(seeds)
    num_trials = default_trials if trials is None else trials
    if not 1 <= num_trials <= MAX_TRIALS:
        raise UserError(f"--trials is {num_trials}: give a number from 1 to {MAX_TRIALS}")
    return tuple(range(num_trials))


def parse_seeds(texts: Sequence[str]) -> tuple[int, ...]:
    """``["0", "3", "5-7"]`` to ``(0, 3, 5, 6, 7)``.

    Raises:
        UserError: see :func:`chosen_seeds`.
    """
    seeds: list[int] = []
    for text in texts:
        first, last = _ends(text)
        if last - first >= MAX_TRIALS:
            raise UserError(f"--seeds {text} are {last - first + 1} seeds: give {MAX_TRIALS} at most")
        for seed in range(first, last + 1):
            if seed in seeds:
                raise UserError(f"--seeds names seed {seed} twice: a trial has one record")
            seeds.append(seed)
    return tuple(seeds)


def _ends(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", text)
    if match is None:
        raise UserError(f"--seeds {text!r} is neither a number from 0 up nor a range: write e.g. --seeds 0 3 5-9")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise UserError(f"--seeds {text} runs backwards: write {last}-{first}")
    if last > MAX_SEED:
        raise UserError(f"--seeds {text}: a seed is at most {MAX_SEED}")
    return first, last
