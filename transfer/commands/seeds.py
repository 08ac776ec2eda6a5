"""Which seeds the trials have: ``--trials`` and ``--seeds`` of every transfer command."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twist_common.errors import UserError

MAX_SEED = 2**31 - 1  # NumPy's global generator takes 32 bits, and the frameworks add the rank to the seed
MAX_TRIALS = 10_000  # of one benchmark and initialisation: a slip such as 1-1000000 is an error, not a plan


def chosen_seeds(trials: int | None, seeds: Sequence[str], default_trials: int) -> tuple[int, ...]:
    """The seeds that the command line asks for, in its order.

    Args:
        trials: ``--trials``: that many seeds, from 0 up.
        seeds: ``--seeds``: numbers and inclusive ranges; ``["0", "3", "5-7"]`` are 0, 3, 5, 6, 7.
        default_trials: how many seeds without either.

    Raises:
        UserError: both are given, fewer than one trial, a seed twice, below 0 or too large, or no number.
    """
    if trials is not None and seeds:
        raise UserError("--trials and --seeds exclude each other: --trials 3 is --seeds 0 1 2")
    if not seeds:
        num_trials = default_trials if trials is None else trials
        if not 1 <= num_trials <= MAX_TRIALS:
            raise UserError(f"--trials is {num_trials}: give a number from 1 to {MAX_TRIALS}")
        return tuple(range(num_trials))
    chosen: list[int] = []
    for text in seeds:
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", text)
        if match is None:
            raise UserError(f"--seeds {text!r} is neither a number from 0 up nor a range: write e.g. --seeds 0 3 5-9")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(f"--seeds {text} runs backwards: write {last}-{first}")
        if last > MAX_SEED:
            raise UserError(f"--seeds {text}: a seed is at most {MAX_SEED}")
        if last - first >= MAX_TRIALS:
            raise UserError(f"--seeds {text} are {last - first + 1} seeds: give {MAX_TRIALS} at most")
        for seed in range(first, last + 1):
            if seed in chosen:
                raise UserError(f"--seeds names seed {seed} twice: a trial has one record")
            chosen.append(seed)
    return tuple(chosen)
