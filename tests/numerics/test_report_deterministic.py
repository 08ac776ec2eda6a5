"""Trials on which the seed has no influence count once, wherever they occur."""

from __future__ import annotations

import pytest
from scipy import stats

from tests.report_records import trials
from transfer.report.compare.model import BenchmarkResult
from transfer.report.compare.paper import averages, paper_forms
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.lay_out.tables import TableRow

VARYING = [50.0, 51.5, 52.1, 49.0, 53.2]


def only(*records: list) -> BenchmarkResult:
    (result,) = build_report([each for some in records for each in some]).benchmarks
    return result


def test_equal_trials_are_one_figure_without_an_interval_over_seeds() -> None:
    (row,) = only(trials([66.2] * 5)).rows
    figures = row.metrics["miou"]
    assert (row.deterministic, figures.n, figures.mean, figures.sd, figures.interval) == (True, 1, 66.2, None, None)
    assert row.values("miou") == dict.fromkeys(range(5), 66.2)  # every trial is still listed


def test_one_metric_that_happens_to_be_equal_is_no_sign_of_a_deterministic_trial() -> None:
    (row,) = only(trials([{"box_ap": 40.0 + seed, "mask_ap": 0.0} for seed in range(3)], benchmark="coco")).rows
    assert not row.deterministic
    assert (row.metrics["mask_ap"].n, row.metrics["mask_ap"].sd) == (3, 0.0)


def test_two_deterministic_figures_are_one_pair_and_have_no_p_value() -> None:
    result = only(trials([50.0] * 5, weights="random-resnet18"), trials([60.0] * 5))
    difference = next(row for row in result.rows if row.baseline).differences["miou"]
    assert (difference.summary.n, difference.summary.mean, difference.summary.interval) == (1, 10.0, None)
    assert (difference.p_value, difference.p_sign_flip, difference.p_holm) == (None, None, None)
    assert result.best is None


def test_a_constant_difference_of_trials_that_vary_has_no_p_value() -> None:
    result = only(trials(VARYING, weights="random-resnet18"), trials([value + 1 for value in VARYING]))
    difference = next(row for row in result.rows if row.baseline).differences["miou"]
    assert difference.summary.identical
    assert (difference.p_value, difference.p_sign_flip) == (None, None)


def test_a_deterministic_figure_is_held_against_the_other_trials_as_in_scipys_one_sample_test() -> None:
    result = only(trials(VARYING, weights="random-resnet18"), trials([60.0] * 5))
    difference = next(row for row in result.rows if row.baseline).differences["miou"]
    expected = stats.ttest_1samp([60.0 - value for value in VARYING], 0)
    assert difference.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert difference.summary.interval is not None
    bounds = expected.confidence_interval(0.95)
    assert (difference.summary.interval.low, difference.summary.interval.high) == pytest.approx(bounds, rel=1e-9)


def test_an_average_of_deterministic_columns_counts_once() -> None:
    form = next(form for form in paper_forms() if form.title == "Eleven data sets, linear")
    records = [each for place in form.places for each in trials([{place.metric: 60.0}] * 5, benchmark=place.benchmark)]
    (average,) = averages(build_report(records))
    assert (average.summary.n, average.summary.interval, len(average.values)) == (1, None, 5)


def test_the_page_says_that_equal_trials_count_once() -> None:
    report = build_report([*trials(VARYING, weights="random-resnet18"), *trials([60.0] * 5)])
    (section,) = build_document(report).sections
    cells = {row.cells[0]: row.cells for row in rows(section.results.groups)}
    assert cells["twist"][1:3] == ("60.00 (1)", "deterministic")
    assert any("all 5 trials gave the same figures" in note for note in section.notes)
    assert section.differences is not None
    (compared,) = rows(section.differences.groups)
    assert compared.cells[-2] == "1 against 5"


def rows(groups: tuple) -> list[TableRow]:
    return [row for group in groups for row in group.rows]
