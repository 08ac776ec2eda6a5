"""How the report writes numbers."""

from __future__ import annotations

import re

import pytest

from transfer.report.compare.statistics import Interval, summarize
from transfer.report.lay_out import format as fmt


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert [fmt.number(-1.234), fmt.number(-0.001), fmt.number(None)] == ["−1.23", "0.00", "–"]
    assert [fmt.signed(0.001), fmt.signed(2.5), fmt.signed(-2.5)] == ["0.00", "+2.50", "−2.50"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00099, "< 0.001"), (0.0123, "0.012"), (0.0999, "0.10"), (0.5, "0.50"), (1.0, "1.00"), (None, "–")],
)
def test_p_values_keep_two_digits(value: float | None, shown: str) -> None:
    assert fmt.p_value(value) == shown


def test_summaries_show_the_number_of_trials() -> None:
    assert [fmt.summary(summarize(values)) for values in ([], [5.0], [4.0, 6.0])] == [
        "–",
        "5.00 (1)",
        "5.00 ± 1.41 (2)",
    ]
    assert fmt.signed_interval(Interval(-1, 2)) == "[−1.00, +2.00]"


@pytest.mark.parametrize(("seconds", "shown"), [(59.4, "59 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min")])
def test_durations_carry_their_units(seconds: float, shown: str) -> None:
    assert fmt.duration(seconds) == shown


def test_plots_of_different_benchmarks_never_share_a_file() -> None:
    pairs = [("demo", "voc"), ("Demo", "voc"), ("demo.voc", ""), ("é", "voc"), ("è", "voc"), ("a/b", "c"), ("a-b", "c")]
    slugs = [fmt.slug(*pair) for pair in pairs]
    assert len(set(slugs)) == len(pairs)
    assert all(re.fullmatch(r"[a-z0-9_.-]+", name) for name in slugs)


@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_plot_of_many_overrides_has_a_name_that_a_file_may_have(letter: str) -> None:
    slugs = {fmt.slug("ablation", letter * 300 + end) for end in ("a", "b")}
    assert len(slugs) == 2
    assert max(map(len, slugs)) < 120
