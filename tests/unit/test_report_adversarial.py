"""Sets of records that are easily reported wrongly: each is right and readable in every form."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from tests.report_records import done, failed, trials
from transfer.commands.report import summary_text
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.write.forms import render_files

BASE = trials([50.0, 51.0, 52.0], weights="random-a")
FIVE = trials([50.0, 51.0, 52.0, 50.5, 51.5], weights="random-a")
VERSION = BASE[0].protocol_version
CLEAR = [60.0, 61.5, 62.2]
OLD = [replace(each, protocol_version=VERSION + 7, seal="").sealed() for each in trials(CLEAR, weights="old")]

# Name to records, what the sentence says, and what the matrix has of it (None: not in it).
SETS: dict[str, tuple[list[TrialRecord], str, tuple[str, str] | None]] = {
    "one trial": ([*BASE, *trials([70.0])], "undecided: no two weights", ("twist", "70.00 (1)")),
    "two trials": ([*BASE, *trials([70.0, 71.0])], "undecided: no two weights", ("twist", "70.50 (2)")),
    "identical": ([*BASE, *trials([60.0] * 3)], "twist is better than random-a", ("twist", "* 60.00")),
    "failed": ([*BASE, *trials(CLEAR), failed(seed=3)], "trials of it failed", ("twist", "≈ 61.23 (3 of 4)")),
    "outlier": ([*FIVE, *trials([60.0, 61.5, 62.2, 61.0, 12.0])], "undecided", ("twist", "≈ 51.34")),
    "unequal seeds": ([*BASE, *trials([*CLEAR, 61.0, 60.5])], "twist is better", ("twist", "* 61.04")),
    "two versions": ([*BASE, *trials(CLEAR), *OLD], "twist is better than random-a", None),
    "off protocol": (
        [*BASE, *trials(CLEAR), *trials([90.0, 91.0, 92.5], weights="off", protocol_difference=["max_iters: 1 -> 2"])],
        "twist is better than random-a",
        None,
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_every_form_says_what_the_records_show(name: str) -> None:
    records, sentence, row = SETS[name]
    report = build_report(records)
    files = {path: content.decode() for path, content in render_files(report, []).items() if not path.endswith(".png")}
    terminal = summary_text(report)
    for text in (terminal, files["report.md"], files["report.html"]):
        assert sentence in text
    lines = [line.split() for line in terminal.splitlines()]
    if row is not None:
        assert any(line[:1] == [row[0]] and line[2:] == row[1].split() for line in lines)
        mark = row[1].lstrip("*≈ ")
        assert all(mark in files[path] for path in ("report.html", "report.md", "report.tex"))
    else:
        shown = next(each for each in ("old", "off") if any(record.weights.name == each for record in records))
        assert f"{shown} (off protocol)" in terminal and not any(line[:2] == [shown, "1.0"] for line in lines)
    rows = list(csv.DictReader(io.StringIO(files["report.csv"])))
    assert len(rows) == len(records)
    values = [float(each["value"]) for each in rows if each["weights"] == "twist" and each["value"]]
    content = json.loads(files["report.json"])
    twist = next(each for each in content["benchmarks"][0]["weights"] if each["label"] == "twist")
    assert list(twist["metrics"]["miou"]["values"].values()) == values


def test_an_outlier_is_named_with_its_seed_and_still_counts() -> None:
    records = SETS["outlier"][0]
    (section,) = build_document(build_report(records)).sections
    assert any("twist, seed 4: 12.00 is far from the other 4 trials" in note for note in section.notes)
    (clean,) = build_document(build_report([*FIVE, *trials(CLEAR)])).sections
    assert not any("Grubbs" in note for note in clean.notes)


def test_a_single_trial_has_no_spread_no_interval_and_no_test() -> None:
    (result,) = build_report([*BASE, done(70.0)]).benchmarks
    twist = next(row for row in result.rows if row.label == "twist")
    assert (twist.metrics["miou"].sd, twist.metrics["miou"].interval) == (None, None)
    assert twist.differences["miou"].p_value is None and result.leader is None


def test_survivors_of_failed_trials_are_not_better_than_the_baseline_but_may_be_worse() -> None:
    def verdict(records: list[TrialRecord]) -> str:
        (result,) = build_report(records).benchmarks
        (row,) = (row for row in result.rows if row.label == "twist")
        return row.differences["miou"].verdict

    ahead, behind = trials(CLEAR), trials([40.0, 41.5, 42.2])
    assert (verdict([*BASE, *ahead]), verdict([*BASE, *behind])) == ("better", "worse")
    lost = failed(seed=3)
    assert (verdict([*BASE, *ahead, lost]), verdict([*BASE, *behind, lost])) == ("undecided", "worse")
    lost_by_baseline = replace(lost, weights=BASE[0].weights, seal="").sealed()
    found = [verdict([*BASE, lost_by_baseline, *each]) for each in (ahead, behind)]
    assert found == ["better", "undecided"]
