"""What a report says of failed, missing and unequal trials."""

from __future__ import annotations

import pytest

from tests.report_records import done, failed, trials
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.compare.seeds import seed_notes
from transfer.report.lay_out.document import build_document
from transfer.report.lay_out.tables import overview_table, results_table


def notes(records: list[TrialRecord]) -> list[str]:
    (result,) = build_report(records).benchmarks
    return list(seed_notes(result))


def of_seeds(*seeds: int, weights: str = "twist") -> list[TrialRecord]:
    return [done(60.0 + seed % 7, seed=seed, weights=weights) for seed in seeds]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ((2, 3, 4, 5, 7), ["twist: seeds 0, 1, 6 are missing."]),
        ((0, 1, 3), ["twist: seed 2 is missing."]),
        ((0, 1, 9), ["twist: seeds 2 to 8 are missing."]),
        ((0, 1, 2), []),
        ((10, 11, 12), []),  # all of them chosen
        ((0, 1, 123456), []),
    ],
)
def test_missing_seeds_are_named(seeds: tuple[int, ...], words: list[str]) -> None:
    assert notes(of_seeds(*seeds)) == words


def test_a_seed_that_other_weights_have_is_missing_and_unequal_numbers_are_said() -> None:
    found = notes([*of_seeds(0, 1, 2, 3, 4), *of_seeds(0, 1, 2, weights="random-resnet18")])
    assert found[0] == "random-resnet18: seeds 3, 4 are missing."
    assert "differ in their number of trials (3 to 5)" in found[1]


@pytest.mark.parametrize(("ours", "said"), [(3, False), (5, True)])
def test_a_difference_over_fewer_pairs_than_trials_says_so(ours: int, *, said: bool) -> None:
    report = build_report([*of_seeds(*range(ours)), *trials([50.0, 51.5, 52.0], weights="random-a")])
    (row,) = (row for row in overview_table(report).groups[0].rows if row.cells[0] == "twist")
    assert ("(3 pairs)" in row.cells[2]) == said


def test_a_failed_trial_is_not_missing() -> None:
    assert not any("missing" in note for note in notes([*of_seeds(0, 1), failed(seed=2)]))


def test_means_of_survivors_are_marked_and_never_bold() -> None:
    records = [*trials([50.0, 51.0, 52.0], weights="random-a"), *trials([60.0, 61.5, 62.2]), failed(seed=3)]
    report = build_report(records)
    (row,) = [row for row in results_table(report.benchmarks[0]).groups[0].rows if row.cells[0].startswith("twist")]
    assert (row.cells[1], row.best) == ("61.23 ± 1.12 (3 of 4)", frozenset())
    (section,) = build_document(report).sections
    assert "random-a: seed 3 is missing." in section.notes
