"""Errors, of which a lower figure is better and which are no percentages: canaries, records, and what a report says."""

from __future__ import annotations

import dataclasses

import pytest

from tests.report_records import done
from transfer import benchmarks
from transfer.preflight.canary import RANDOM, SUPERVISED, missed
from transfer.record import Metric, TrialRecord
from transfer.record_bounds import direction_of, metric_range, out_of_range
from transfer.report.compare.ranking import rankings
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.write.markdown import render_markdown
from transfer.rows import Band, Canary

WEIGHTS = {"near": [41.0, 41.5, 41.2], "far": [52.0, 52.9, 52.1], "farther": [160.0, 161.0, 160.2]}
BAND = Band(low=40.0, high=120.0, source="made up")
DEPTH = dataclasses.replace(
    benchmarks.get("voc"), main_metric="rmse_cm", canary=Canary(overrides=(), random=BAND, supervised=BAND)
)


def errors(benchmark: str = "depth") -> list[TrialRecord]:
    return [
        done(
            0.0,
            seed=seed,
            weights=weights,
            benchmark=benchmark,
            metrics={"rmse_cm": Metric(value=value, direction=direction_of("rmse_cm"))},
        )
        for weights, values in WEIGHTS.items()
        for seed, value in enumerate(values)
    ]


def test_bold_verdict_sentence_and_ranking_are_for_the_lowest_error() -> None:
    report = build_report([*errors(), *errors("depth4")], baseline="far")
    result = report.benchmarks[0]
    assert result.best == "near"
    verdicts = {row.label: row.differences["rmse_cm"].verdict for row in result.rows if row.baseline}
    assert verdicts == {"near": "better", "farther": "worse"}
    document = build_document(report)
    assert document.claims[0].startswith("depth, RMSE in cm (lower is better): near is better than far by 11.10 [")
    text = render_markdown(document)
    assert "**41.23 ± 0.25 (3)**" in text and "**160.40" not in text and "−11.10" in text
    assert "in percent where no other unit is named" in text
    (ranking,) = rankings(report)
    assert [each.standing.label for each in ranking.lines] == ["near", "far", "farther"]
    assert [each.iqm for each in ranking.lines] == [None] * 3  # of errors and shares there is no common mean


def test_an_error_may_be_above_100_and_a_share_may_not() -> None:
    assert metric_range("rmse_cm") == (0.0, 1000.0) and (direction_of("abs_rel"), direction_of("miou")) == (
        "lower",
        "higher",
    )
    assert [out_of_range("rmse_cm", value) for value in (999.0, 1000.5, -0.5)] == [False, True, True]
    assert out_of_range("miou", 100.5) and out_of_range("delta1", 100.5) and not out_of_range("abs_rel", 250.0)


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ({RANDOM: 90.0, SUPERVISED: 60.0}, None),
        ({RANDOM: 40.0}, None),
        ({RANDOM: 120.0}, "ended at rmse_cm 120.00, but should have ended from 40 to below 120"),
        ({RANDOM: 39.9}, "ended at rmse_cm 39.90"),
        ({RANDOM: 60.0, SUPERVISED: 60.0}, "no better than 60.00"),
        ({RANDOM: 60.0, SUPERVISED: 90.0}, "no better than 60.00"),
    ],
)
def test_a_canary_of_an_error_is_missed_where_it_is_too_high_and_supervised_weights_must_be_lower(
    figures: dict[str, float], found: str | None
) -> None:
    sentence = missed(DEPTH, figures)
    assert sentence is None if found is None else sentence is not None and found in sentence
