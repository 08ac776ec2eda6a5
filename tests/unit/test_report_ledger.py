"""The test-set ledger, choices and inflated references: shown, never compared, and sealed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.report_records import done, save, trials
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.lay_out.tables import INFLATED, results_table
from transfer.report.read.trials import broken_seals
from transfer.report.verify import verify
from transfer.report.write.data import render_json
from transfer.report.write.html import render_html
from transfer.report.write.latex import render_latex
from transfer.report.write.markdown import render_markdown
from twist_common.errors import UserError

ONCE = [{"split": "test", "num_images": 10000, "purpose": "final scoring"}]
CHOICES = {"l2": 0.0316227766, "iterations": 57, "solver": "lbfgs", "images_sha256": "c0bbfe63" * 8}


def with_ledger(**changes: Any) -> list[TrialRecord]:
    fields: dict[str, Any] = {"test_scorings": ONCE, "inflated": {"top1": 99.0}, "choices": CHOICES, **changes}
    baseline = trials([{"top1": 50.0 + seed**2} for seed in range(3)], weights="random-a", benchmark="cars-linear")
    return [*baseline, *trials([{"top1": 70.0 + seed} for seed in range(3)], benchmark="cars-linear", **fields)]


def test_inflated_references_stand_apart_and_are_in_no_comparison() -> None:
    with_it, without = (build_report(with_ledger(**each)) for each in ({}, {"inflated": {}}))
    table = results_table(with_it.benchmarks[0])
    (group,) = [group for group in table.groups if group.heading == INFLATED]
    assert [(row.kind, row.cells, row.best) for row in group.rows] == [
        ("inflated", ("twist, best choice on test", "99.00 ± 0.00 (3)", ""), frozenset())
    ]
    documents = [build_document(each) for each in (with_it, without)]
    assert documents[0].overview_table == documents[1].overview_table
    assert [each.differences for each in documents[0].sections] == [each.differences for each in documents[1].sections]
    assert with_it.benchmarks[0].best == without.benchmarks[0].best == "twist"
    texts = (render_html(documents[0]), render_markdown(documents[0]), render_latex(with_it))
    assert all(text.count("99.00") == 1 for text in texts)


def test_the_card_tells_the_ledger_and_every_choice() -> None:
    card = build_document(build_report(with_ledger())).cards[-1]
    assert dict(card.facts)["Test images"] == "test, 10\u202f000 images, final scoring"
    titles = [column.title for column in card.trials.columns]
    shown = dict(zip(titles, card.trials.groups[0].rows[0].cells, strict=True))
    assert (shown["L2"], shown["Iterations"], shown["Solver"]) == ("0.03162", "57", "lbfgs")
    assert shown["Images SHA-256"] == "c0bbfe63"


def test_a_test_split_that_is_scored_twice_in_a_trial_is_a_warning() -> None:
    document = build_document(build_report(with_ledger(test_scorings=ONCE * 2)))
    assert "3 trials scored test images more than once: named below." in document.warnings
    assert sum("the test images were scored 2 times" in note for note in document.sections[0].notes) == 3
    once = build_document(build_report(with_ledger()))
    assert not any("scored" in line for line in (*once.warnings, *once.sections[0].notes))


@pytest.mark.parametrize("name", ["test_scorings", "inflated", "choices"])
def test_what_is_removed_or_added_after_the_trial_breaks_the_seal(name: str) -> None:
    full = with_ledger()[-1].sealed()
    bare = dataclasses.replace(full, **{name: type(getattr(full, name))()})
    assert broken_seals([full]) == [] and len(broken_seals([bare])) == 1
    older = done(50.0).sealed()
    assert len(broken_seals([dataclasses.replace(older, **{name: getattr(full, name)})])) == 1


def test_records_from_before_the_ledger_keep_their_seal() -> None:
    # Computed by the program of before these fields.
    assert done(50.0).figures_sha256() == "aa539bb071ac200f6a4c83020c11b8a0d7ef7340979a8464c6feed81cec682a1"


def test_verify_names_an_inflated_reference_or_a_choice_that_is_another(tmp_path: Path) -> None:
    records = [record.sealed() for record in with_ledger()]
    save(records, tmp_path / "runs")
    path = tmp_path / "report.json"
    content = json.loads(render_json(build_report(records), ["runs"]))
    row = content["benchmarks"][0]["weights"][1]
    row["inflated"]["top1"]["mean"], row["choices"]["1"]["l2"] = 98.0, 0.1
    path.write_text(json.dumps(content))
    names = [line.split(":")[0] for line in verify(path).differing]
    assert names == [
        "demo/cars-linear, twist, inflated top1 mean",
        "demo/cars-linear, twist, choices 1 l2",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [('"top1": 99.0', '"top1": 1e999'), ('"l2": 0.0316227766', '"l2": NaN'), ('"split"', '"spilt"')],
)
def test_a_reference_that_is_no_number_or_a_ledger_that_is_none_is_refused(
    tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "record.json"
    with_ledger()[-1].save(path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(UserError, match="is not a trial record"):
        TrialRecord.load(path)
