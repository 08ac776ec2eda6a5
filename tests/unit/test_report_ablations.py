"""Ablations in the report: tables 7 and 8, curves like figures 3 and 4; failures are never numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.report_evidence import content, run, write_run
from tests.report_records import save, trials
from transfer.commands.report import Args, main, summary_text, write_report
from transfer.report.compare.results import build_report
from transfer.report.lay_out.ablations import ablation_section, ablation_table
from transfer.report.lay_out.curves import sweep_plot
from transfer.report.lay_out.document import build_document
from transfer.report.lay_out.tables import Table
from transfer.report.read.ablation_files import Ablation, read
from transfer.report.read.evidence import Evidence, find_evidence
from transfer.report.read.trials import find_records
from transfer.report.verify import in_words, verify
from transfer.report.write.html import render_html
from transfer.report.write.latex import render_latex
from transfer.report.write.markdown import render_markdown
from twist_common.errors import UserError


def terms() -> Ablation:
    lost = run("sharpness alone", 1, figures={}, failure="pre-training failed with code 1")
    warned = run("neither", 0, sentinel=["step 40: collapse"])
    return read(content(runs=[run("both", 0), run("both", 1), warned, run("sharpness alone", 0), lost]), "x")


def cells(table: Table, group: int, row: int) -> dict[str, str]:
    return dict(zip([column.title for column in table.columns], table.groups[group].rows[row].cells, strict=True))


def swept(study: str, numbers: list[float], seeds: int = 1) -> Ablation:
    runs = [run(f"{number:g}", seed, number) for number in numbers for seed in range(seeds)]
    return read(content(study, runs, swept="epochs"), "x")


def test_terms_stand_in_the_form_of_table_8_with_published_rows_apart() -> None:
    table = ablation_table(terms())
    assert [column.title for column in table.columns] == [
        "Setting", "Sharpness", "Diversity", "Gradient", "ACC", "NMI", "Collapse",
    ]  # fmt: skip
    both = cells(table, 0, 0)
    assert (both["ACC"], both["Sharpness"]) == ("96.50 ± 0.71 (2)", "2.10 ± 0 (2)")
    assert both["Gradient"] == "0.000110 ± 0 (2)"
    assert cells(table, 0, 1)["Collapse"] == "1 of 1"
    assert cells(table, 1, 0)["ACC"] == "86.10" and cells(table, 1, 0)["Sharpness"] == "–"
    assert table.groups[2].heading and table.groups[2].heading.startswith("Published, not measured: Table 8 of arXiv")
    assert list(cells(table, 2, 3).values()) == ["both", "1.51", "7.87", "0.02", "70.9", "–", ""]


def test_a_failed_run_is_in_no_mean_and_is_named() -> None:
    table = ablation_table(terms())
    lost = cells(table, 0, 2)
    assert (lost["Setting"], lost["ACC"]) == ("sharpness alone (1 of 2 failed)", "96.00 (1)")
    section = ablation_section(terms())
    assert section.notes == ("sharpness alone, seed 1 has no result: pre-training failed with code 1",)
    only = read(content(runs=[run("both", 0, figures={}, failure="no")]), "x")
    assert set(cells(ablation_table(only), 0, 0).values()) == {"both (1 of 1 failed)", "–"}
    assert sweep_plot(only) is None


def test_norm_stands_in_the_form_of_table_7() -> None:
    table = ablation_table(read(content("nbs", [run("with NBS", 0)], columns=["loss", "acc", "used_classes"]), "x"))
    published = cells(table, 2, 0)
    assert list(published.values()) == ["with NBS", "−5.05", "70.6", "59.0", "2.37", "1.12", "–", ""]
    assert list(published)[1:6] == ["Loss", "ACC", "NMI", "Std. over images", "Std. over classes"]


def test_every_figure_of_a_setting_opens_its_runs() -> None:
    document = build_document(build_report(trials([60.0]), evidence=Evidence(ablations=(terms(),))))
    anchors = {row.card for row in document.ablations[0].table.groups[0].rows}
    cards = {card.anchor: card for card in document.cards if card.anchor in anchors}
    assert anchors == cards.keys() and len(anchors) == 3
    lost = next(card for card in cards.values() if card.title == "Terms of the loss: sharpness alone")
    assert lost.trials.groups[0].rows[1].cells[-1] == "pre-training failed with code 1"
    assert dict(lost.facts)["Changed in the recipe"] == "loss.sharpness alone=0"


def test_all_forms_of_the_report_show_the_ablation(tmp_path: Path) -> None:
    report = build_report(trials([60.0]), evidence=Evidence(ablations=(terms(), swept("epochs", [2, 4]))))
    document = build_document(report)
    for shown in (render_html(document), render_markdown(document), render_latex(report)):
        assert "sharpness alone (1 of 2 failed)" in shown and "Table 8" in shown
    assert any(plot.name.startswith("ablation-epochs") for plot in document.plots)


@pytest.mark.parametrize(
    ("numbers", "drawn", "in_words"),
    [([2, 4, 7, 14], 0, 2), ([200, 400, 800], 1, 0), ([7, 45], 1, 1)],
)
def test_published_points_are_drawn_where_they_share_the_axis_and_told_where_not(
    numbers: list[float], drawn: int, in_words: int
) -> None:
    ablation = swept("epochs", numbers)
    plot = sweep_plot(ablation)
    assert plot is not None
    assert (plot.svg_wide.count("published, not measured") > 0) == (drawn > 0)
    section = ablation_section(ablation)
    assert section.caption.count(" epochs, ACC ") == in_words
    assert "In the form of Figure 4(b) of" in section.caption


def test_curves_follow_light_and_dark_and_say_what_they_show() -> None:
    plot = sweep_plot(swept("classes", [16, 64, 256], seeds=3))
    assert plot is not None
    for svg in (plot.svg_wide, plot.svg_narrow):
        assert "var(--series-1)" in svg and "fill: #" not in svg and "stroke: #" not in svg
    assert "16: ACC 97.00, NMI 66.00" in plot.alt


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"untrained": {"acc": "high"}},
        {"runs": [run("both", -1)]},
        {"runs": [run("both", 0, figures={"acc": True})]},
        {"runs": [run("both", 0, failure="why")]},
        {"columns": "acc"},
    ],
)
def test_an_outcome_that_is_none_is_refused_in_one_sentence(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"a/ablation\.json is not a file of"):
        read(content(**change), "a/ablation.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_is_refused_and_never_averaged(number: str) -> None:
    with pytest.raises(UserError, match="not a number"):
        read(content().replace(b"66.0", number.encode(), 1), "a/ablation.json")


def test_one_digit_of_an_outcome_is_named_by_verify_and_warned_of(tmp_path: Path) -> None:
    runs = save([record.sealed() for record in trials([60.0, 61.0])], tmp_path / "runs")
    path = runs / "ablations" / "demo" / "terms" / "ablation.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content())
    report_json = write_report([runs])[1].with_suffix(".json")
    assert verify(report_json).holds
    path.write_bytes(content().replace(b'"acc": 98.0', b'"acc": 98.5'))
    found = verify(report_json)
    assert "ablation terms, demo, both figures acc values 2: the report says 98.0, the records give 98.5" in (
        found.differing
    )
    assert "edited: demo ablation terms: its content is not that of its content_sha256" in in_words(found, report_json)
    document = build_document(build_report(find_records([runs]), evidence=find_evidence([runs])))
    assert any("Edited after it was written: demo ablation terms" in line for line in document.warnings)


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """The folder of an ablation without any transfer trial, its runs beside it as ``tools/ablate.sh`` leaves them."""
    for seed in range(2):
        write_run(tmp_path / "demo" / "runs" / f"both-{seed}", [2.0 + seed, 1.0])
    folder = tmp_path / "demo" / "terms"
    folder.mkdir()
    lost = run("neither", 0, figures={}, failure="pre-training failed with code 1")
    folder.joinpath("ablation.json").write_bytes(content(runs=[run("both", 0), run("both", 1), lost]))
    return folder


def test_an_ablation_alone_is_a_report_with_its_table_and_curves_and_no_empty_section(alone: Path) -> None:
    report, page = write_report([alone])
    assert {path.name for path in alone.iterdir()} == {
        "ablation.json", "ablations.csv", "report.html", "report.md", "report.tex", "report.json", "report-figures",
    }  # fmt: skip
    html, markdown = page.read_text(), page.with_suffix(".md").read_text()
    for text_of in (html, markdown):
        assert "neither (1 of 1 failed)" in text_of and "Published, not measured: Table 8" in text_of
        for absent in ("How to read this", "Provenance", "Overview", "baseline to", "Beside the paper"):
            assert absent not in text_of
    assert "![Training curves of terms of the loss, last values: both: loss 1.00" in markdown
    assert [path.name.split("-")[0] for path in (alone / "report-figures").iterdir()] == ["course"]
    with (alone / "ablations.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["setting"], row["seed"], row["acc"], row["failure"]) for row in rows] == [
        ("both", "0", "96.0", ""),
        ("both", "1", "97.0", ""),
        ("neither", "0", "", "pre-training failed with code 1"),
    ]
    assert "96.50 ± 0.71 (2)" in summary_text(report)
    assert verify(page.with_suffix(".json")).holds


def test_an_ablation_alone_survives_the_archive_with_its_curves(alone: Path, tmp_path: Path) -> None:
    packed = tmp_path / "a.tar.gz"
    assert main(Args(runs=(alone,), pack=packed)) == 0
    before = find_evidence([alone])
    assert [course.label for course in before.ablations[0].courses] == ["both", "both"]
    assert find_evidence([packed]) == before
    there = write_report([packed], out=tmp_path / "there")[1]
    assert there.read_bytes() == write_report([alone])[1].read_bytes()


def test_runs_of_an_ablation_are_no_pretraining_runs_of_their_own(tmp_path: Path) -> None:
    for folder in ("demo/runs/both-0", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "metrics.jsonl").write_text('{"kind": "step", "step": 1, "epoch": 0, "loss": 1.0}\n')
    (tmp_path / "demo" / "terms").mkdir()
    (tmp_path / "demo" / "terms" / "ablation.json").write_bytes(content())
    evidence = find_evidence([tmp_path])
    assert [each.label for each in evidence.pretraining] == ["elsewhere"] and len(evidence.ablations) == 1
