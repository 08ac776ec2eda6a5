"""Grubbs' test: against its printed critical values, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from transfer.report.compare.outliers import grubbs_limit, outlier


@pytest.mark.parametrize(
    ("n", "five", "one"), [(4, 1.481, 1.496), (5, 1.715, 1.764), (6, 1.887, 1.973), (10, 2.290, 2.482)]
)
def test_critical_values_are_the_printed_two_sided_ones(n: int, five: float, one: float) -> None:
    assert (round(grubbs_limit(n, 0.05), 3), round(grubbs_limit(n, 0.01), 3)) == (five, one)


@pytest.mark.parametrize("n", [4, 5, 10])
def test_one_percent_of_normal_rows_have_an_outlier(n: int) -> None:
    samples = np.random.default_rng(n).normal(size=(8000, n))
    found = np.mean([outlier(dict(enumerate(each))) is not None for each in samples])
    assert abs(found - 0.01) < 3.5 * math.sqrt(0.01 * 0.99 / 8000)


def test_few_and_equal_trials_have_none() -> None:
    assert outlier({0: 1.0, 1: 1.0, 2: 90.0}) is None
    assert outlier(dict.fromkeys(range(5), 1.0)) is None
