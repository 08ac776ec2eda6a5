"""Measured rows in the form of the paper's tables, apart from what was published."""

from __future__ import annotations

from tests.report_records import done, trials
from transfer.report.document import build_document
from transfer.report.html import render_html
from transfer.report.paper_tables import paper_tables
from transfer.report.results import build_report

VOC = [{"box_ap": 55.0 + seed, "box_ap50": 81.0, "box_ap75": 60.0} for seed in range(3)]
COCO = [{"box_ap": 40.0 + seed**2, "mask_ap": 36.0} for seed in range(3)]


def test_benchmarks_of_one_published_table_stand_side_by_side() -> None:
    report = build_report([*trials(VOC, benchmark="voc"), *trials(COCO, benchmark="coco")])
    (table,) = paper_tables(report)
    measured, published = table.groups
    titles = [column.title for column in table.columns]
    assert titles[:4] == ["Method", "voc Box AP", "voc Box AP50", "voc Box AP75"]
    (row,) = measured.rows
    cells = dict(zip(titles, row.cells, strict=True))
    assert (cells["voc Box AP"], cells["coco Mask AP"], cells["coco Mask AP50"]) == (
        "56.00 ± 1.00 (3)",
        "36.00 ± 0.00 (3)",
        "–",
    )
    assert published.heading == "Published, not measured: Table 5 of arXiv:2110.07402"
    twist = dict(zip(titles, published.rows[-1].cells, strict=True))
    assert (twist["Method"], twist["voc Box AP"], twist["coco Mask AP75"]) == ("TWIST", "58.1", "40.6")
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
    assert paper_tables(build_report(trials([60.0, 61.0, 62.0]))) == ()
