"""Measured rows in the form of the paper's tables, apart from what was published."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tests.report_records import done, failed, trials
from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.report.compare.paper import paper_forms
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.lay_out.format import p_value
from transfer.report.lay_out.paper_tables import paper_tables
from transfer.report.lay_out.tables import RowGroup, Table
from transfer.report.read.evidence import Evidence
from transfer.report.read.pretraining import Pretraining
from transfer.report.read.published import published_table
from transfer.report.write.data import json_content
from transfer.report.write.html import render_html
from transfer.report.write.latex import render_latex

VOC = [{"box_ap": 55.0 + seed, "box_ap50": 81.0, "box_ap75": 60.0} for seed in range(3)]
COCO = [{"box_ap": 40.0 + seed**2, "mask_ap": 36.0} for seed in range(3)]
LINEAR = next(form for form in paper_forms() if form.title == "Eleven data sets, linear")


def cells(table: Table, group: RowGroup, row: int = 0) -> dict[str, str]:
    titles = [column.title for column in table.columns]
    return dict(zip(titles, group.rows[row].cells, strict=True))


def eleven(weights: str = "twist", **changes: object) -> list[TrialRecord]:
    """Linear figures 60, 61, ... of the eleven data sets in seed 0, one higher in each seed after it."""
    return [
        record
        for index, place in enumerate(LINEAR.places)
        for record in trials(
            [{place.metric: 60.0 + index + seed} for seed in range(3)],
            benchmark=place.benchmark,
            suite="paper",
            weights=weights,
        )
        if (place.benchmark, record.seed) != changes.get("without")
    ]


def test_benchmarks_of_one_published_table_stand_side_by_side() -> None:
    report = build_report([*trials(VOC, benchmark="voc"), *trials(COCO, benchmark="coco")])
    (table,) = paper_tables(report)
    measured, published = table.groups
    assert [column.title for column in table.columns][:4] == ["Method", "VOC Box AP", "VOC Box AP50", "VOC Box AP75"]
    found = cells(table, measured)
    assert (found["VOC Box AP"], found["COCO Mask AP"], found["COCO Mask AP50"]) == (
        "56.00 ± 1.00 (3)",
        "36.00 ± 0.00 (3)",
        "–",
    )
    heading = "Published, not measured: Table 5 of arXiv:2110.07402. † downloaded weights, run by the paper's authors"
    assert published.heading == heading
    marked = [row.cells[0] for row in published.rows if "†" in row.cells[0]]
    assert marked == ["SimCLR †", "DC-v2 †", "DINO †"]
    assert "SimCLR \\dag{}" in render_latex(report) and "†" not in render_latex(report)
    twist = cells(table, published, -1)
    assert (twist["Method"], twist["VOC Box AP"], twist["COCO Mask AP75"]) == ("TWIST", "58.1", "40.6")
    assert {each.kind for each in published.rows} == {"published"}


def test_figures_of_one_row_open_the_cards_of_their_own_benchmarks() -> None:
    report = build_report([*trials(VOC, benchmark="voc"), *trials(COCO, benchmark="coco")])
    (table,) = paper_tables(report)
    (row,) = table.groups[0].rows
    cards = [card.anchor for card in build_document(report).cards]
    assert [row.card_of(0), row.card_of(1), row.card_of(4)] == ["", cards[0], cards[1]]
    assert "Beside the paper" in render_html(build_document(report))


def test_off_protocol_trials_have_a_row_of_their_own() -> None:
    off = done(VOC[0], seed=7, benchmark="voc", protocol_difference=["max_iter: 24000 -> 1"], config_sha256="a" * 64)
    other = done(VOC[0], seed=8, benchmark="voc", protocol_difference=["max_iter: 24000 -> 2"], config_sha256="b" * 64)
    (table,) = paper_tables(build_report([*trials(VOC, benchmark="voc"), off, other]))
    labels = [row.cells[0] for row in table.groups[0].rows]
    assert labels == ["twist", "twist (off protocol)", "twist (off protocol), config bbbbbbbb"]


def test_what_is_in_no_table_of_the_paper_makes_none() -> None:
    assert paper_tables(build_report(trials([60.0, 61.0, 62.0], benchmark="seg-voc-frozen"))) == ()


def test_digits_have_the_paper_s_columns_and_no_published_row() -> None:
    records = [
        record
        for benchmark in ("demo-1pct", "demo-100pct")
        for record in trials([{"top1": 80.0, "top5": 90.0}], benchmark=benchmark)
    ]
    (table,) = paper_tables(build_report(records))
    assert [column.title for column in table.columns] == [
        "Method", "Backbone", "1 % Top-1", "1 % Top-5", "10 % Top-1", "10 % Top-5", "100 % Top-1", "100 % Top-5",
    ]  # fmt: skip
    assert [group.heading for group in table.groups] == ["Measured"]
    assert table.groups[0].rows[0].cells == (
        "twist",
        "ResNet-18",
        "80.00 (1)",
        "90.00 (1)",
        "–",
        "–",
        *table.groups[0].rows[0].cells[2:4],
    )


def test_every_form_names_benchmarks_that_exist_with_their_main_metric() -> None:
    for form in paper_forms():
        for benchmark in set(form.benchmarks) & BENCHMARKS.keys():
            metrics = {place.metric for place in form.places if place.benchmark == benchmark}
            assert BENCHMARKS[benchmark].main_metric in metrics, benchmark
    assert {form.number for form in paper_forms()} == {1, 2, 3, 4, 5, 6}


def test_linear_classification_tells_epochs_and_crops_where_the_pretraining_is_known() -> None:
    records = trials([{"top1": 75.0, "top5": 92.0}], benchmark="imagenet-linear")
    facts = {"epochs": 850, "num_local_crops": 12, "backbone_sha256": records[0].weights.sha256}
    known = Evidence(pretraining=(Pretraining("rn50", facts, {}),))
    (with_run,), (without,) = (paper_tables(build_report(records, evidence=each)) for each in (known, Evidence()))
    assert cells(with_run, with_run.groups[0])["Epochs"] == "850"
    assert cells(with_run, with_run.groups[0])["Multi-crop"] == "yes"
    assert cells(without, without.groups[0])["Epochs"] == cells(without, without.groups[0])["Multi-crop"] == "–"
    swav = cells(without, without.groups[1], 7)
    assert swav == {
        "Method": "SwAV", "Backbone": "ResNet-50", "Epochs": "800", "Multi-crop": "yes", "Top-1": "75.3", "Top-5": "–",
    }  # fmt: skip


def test_the_average_is_over_all_eleven_for_each_seed() -> None:
    report = build_report(eleven())
    (table,) = paper_tables(report)
    assert [column.title for column in table.columns][-1] == "Average"
    assert cells(table, table.groups[0])["Average"] == "66.00 ± 1.00 (3)"  # 65, 66, 67: the middle of 60 to 70, ...
    assert cells(table, table.groups[1], -1)["Average"] == "78.0"
    card = next(card for card in build_document(report).cards if card.anchor == table.groups[0].rows[0].card_of(12))
    assert card.trials.groups[0].rows[-1].cells == ("Average", "65.00", "66.00", "67.00")


def test_averages_are_compared_by_seed_and_data_set() -> None:
    gains = np.random.default_rng(0).normal(2.0, 1.0, (11, 5))
    rows = {"random-a": np.zeros((11, 5)), "twist": gains}
    records = [
        record
        for index, place in enumerate(LINEAR.places)
        for weights, added in rows.items()
        for record in trials(
            [{place.metric: 50.0 + 3 * seed + each} for seed, each in enumerate(added[index])],
            benchmark=place.benchmark,
            weights=weights,
        )
    ]
    report = build_report(records)
    _, table = paper_tables(report)
    test = scipy.stats.ttest_1samp(gains.mean(axis=0), 0.0)
    low, high = test.confidence_interval()
    (row,) = table.groups[0].rows
    interval = f"+{gains.mean():.2f} [+{low:.2f}, +{high:.2f}]"
    assert row.cells == ("twist − random-a", interval, p_value(test.pvalue))
    (found,) = json_content(report)["average_differences"]
    assert found["difference"]["p_value"] == pytest.approx(test.pvalue)


def test_averages_without_a_seed_in_common_or_a_spread_have_no_test() -> None:
    alone = [record for record in eleven(weights="random-a") if record.seed == 0]
    others = [record for record in eleven() if record.seed > 0]
    _, table = paper_tables(build_report([*alone, *others]))
    assert table.groups[0].rows[0].cells[1:] == ("no common seed", "–")
    _, table = paper_tables(build_report([*eleven(weights="random-a"), *eleven()]))
    assert table.groups[0].rows[0].cells[1:] == ("0.00 (identical pairs)", "–")


def test_a_seed_that_one_data_set_lacks_is_in_no_average() -> None:
    (table,) = paper_tables(build_report(eleven(without=("dtd-linear", 2))))
    assert cells(table, table.groups[0])["Average"] == "65.50 ± 0.71 (2)"


@pytest.mark.parametrize("lost", ["left out", "failed"])
def test_without_one_of_the_eleven_there_is_no_average(lost: str) -> None:
    records = [record for record in eleven() if record.benchmark != "pets-linear"]
    if lost == "failed":
        records += [failed(seed=seed, benchmark="pets-linear", suite="paper") for seed in range(3)]
    (table,) = paper_tables(build_report(records))
    assert "Average" not in [column.title for column in table.columns]
    assert cells(table, table.groups[0])["Pets"] == "–"


def test_multi_crop_is_published_for_resnet50_alone() -> None:
    table = published_table("imagenet-linear")
    assert table is not None
    assert {row.facts["backbone"] for row in table.rows if "multi_crop" in row.facts} == {"resnet50"}
    assert [row.label for row in table.rows if row.method == "TWIST"][-3:] == [
        "TWIST, ResNet-50w2, 300 epochs", "TWIST, DeiT-S, 300 epochs", "TWIST, ViT-B, 300 epochs",
    ]  # fmt: skip
    assert [row.label for row in table.rows if row.method == "CMC"] == ["CMC, ResNet-50w2, epochs not reported"]
