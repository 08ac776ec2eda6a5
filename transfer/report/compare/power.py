"""How many paired trials show how small a difference. Pure functions."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

from transfer.report.compare.statistics import t_quantile

ALPHA = 0.05
POWER = 0.80
MAX_TRIALS_NEEDED = 10_000


def smallest_detectable_difference(sd: float, n: int, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The true difference that a two-sided paired t test over ``n`` pairs finds with probability ``power``.

    Solves the power of the noncentral t distribution for its noncentrality; the usual shortcut with normal
    quantiles is a quarter too small at n = 5.

    Args:
        sd: standard deviation of the paired differences, in the figure's unit.
        n: number of pairs.

    Returns:
        The difference in the unit of ``sd``; None below two pairs, where there is no test.
    """
    return _noncentrality(n, alpha, power) * sd / math.sqrt(n) if n > 1 else None


@functools.cache
def _noncentrality(n: int, alpha: float, power: float) -> float:
    """Where :func:`paired_t_power` is ``power``."""
    from scipy.optimize import brentq

    upper = 1.0
    while paired_t_power(upper, n, alpha) < power:
        upper *= 2
    return float(brentq(lambda x: paired_t_power(x, n, alpha) - power, 0.0, upper))


def paired_t_power(noncentrality: float, n: int, alpha: float = ALPHA) -> float:
    """Probability that a two-sided paired t test over ``n`` pairs rejects.

    Args:
        noncentrality: true mean difference / (sd of the differences / sqrt(n)).
    """
    from scipy.stats import nct

    critical = t_quantile(1 - alpha / 2, n - 1)
    # The lower tail by symmetry, P(T < -c; x) = P(T > c; -x): scipy's nct.cdf(-c, x) is NaN for some x above 8.
    upper_tail = nct.sf(critical, n - 1, noncentrality)
    lower_tail = nct.sf(critical, n - 1, -noncentrality)
    return float(upper_tail + lower_tail)


def additional_trials(
    difference: float, sd: float, n: int, *, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """How many pairs beyond ``n`` a two-sided paired t test needs to find ``difference`` with ``power``.

    Args:
        difference: the true one, in the unit of ``sd``; not 0.
        sd: standard deviation of the paired differences, above 0.

    Returns:
        0 if ``n`` pairs are enough; None if more than :data:`MAX_TRIALS_NEEDED` pairs are needed.
    """
    effect = abs(difference) / sd

    def enough(pairs: int) -> bool:
        return paired_t_power(effect * math.sqrt(pairs), pairs, alpha) >= power

    # Guenther's approximation (The American Statistician 35, 1981) is a few pairs away at most.
    at_level, at_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    if at_level + at_power > effect * math.sqrt(MAX_TRIALS_NEEDED):  # too many even if the spread were known
        return None
    needed = max(2, math.ceil(((at_level + at_power) / effect) ** 2 + at_level**2 / 2))  # a test needs two pairs
    while needed > 2 and enough(needed - 1):
        needed -= 1
    while not enough(needed):
        needed += 1
    return max(0, needed - n) if needed <= MAX_TRIALS_NEEDED else None
