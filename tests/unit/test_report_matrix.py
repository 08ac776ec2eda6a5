"""The table weights × benchmarks: order, marks, and leads; the plot's scale of each benchmark."""

from __future__ import annotations

from tests.report_records import NASTY, done, failed, trials
from transfer.commands.report import summary_text
from transfer.record import Metric, TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.draw import marks
from transfer.report.draw.plot import FONT_SIZE
from transfer.report.lay_out.document import build_document
from transfer.report.lay_out.matrix import matrices
from transfer.report.write.html import render_html
from transfer.report.write.latex import render_latex
from transfer.report.write.markdown import render_markdown


def linear(values: list[float], weights: str = "twist") -> list[TrialRecord]:
    return trials([{"top1": value} for value in values], benchmark="demo-linear", weights=weights)


RECORDS = [
    *trials([50.0, 51.0, 52.0], weights="random-a"),
    *trials([60.0, 61.5, 62.2]),
    *trials([61.0, 60.5, 60.2], weights="moco"),
    failed(seed=3, weights="moco"),
    *linear([80.0, 80.5, 80.2], "random-a"),
    *linear([90.0, 90.5, 90.9]),
    *linear([70.0], "once"),
]


def cells(records: list[TrialRecord]) -> dict[str, tuple[str, ...]]:
    (table,) = matrices(build_report(records))
    return {row.cells[0]: row.cells[1:] for group in table.groups for row in group.rows}


def test_rows_are_sorted_by_average_rank_and_say_who_leads_and_who_may_be_as_good() -> None:
    assert list(cells(RECORDS).items()) == [
        ("twist", ("1.0", "* 90.47", "≈ 61.23")),
        ("random-a", ("2.5", "80.23", "51.00")),
        ("moco", ("2.0", "–", "≈ 60.57 (3 of 4)")),
        ("once", ("3.0", "70.00 (1)", "–")),
        ("Lead over the runner-up", ("", "+10.23", "+0.67")),
    ]


def test_best_is_bold_and_opens_the_card_of_its_row() -> None:
    (table,) = matrices(build_report(RECORDS))
    twist = table.groups[0].rows[0]
    assert twist.best == {2}
    assert [bool(card) for card in twist.cell_cards] == [False, False, True, True]


def test_lower_is_better_ranks_and_marks_the_lowest() -> None:
    records = [
        done({"miou": 1.0}, seed=seed, weights=weights, metrics={"miou": Metric(value=value, direction="lower")})
        for weights, values in {"low": [1.0, 1.2, 1.1], "high": [2.0, 2.3, 2.1]}.items()
        for seed, value in enumerate(values)
    ]
    found = cells(records)
    assert (found["low"], found["high"]) == (("1.0", "* 1.10"), ("2.0", "2.13"))
    assert found["Lead over the runner-up"] == ("", "+1.03")


def test_off_protocol_is_not_in_the_matrix_and_each_suite_has_its_own() -> None:
    off = trials([99.0, 98.0, 99.5], weights="off", protocol_difference=["max_iters: 200 -> 20"])
    other = trials([10.0, 11.0, 12.5], suite="other")
    found = matrices(build_report([*RECORDS, *off, *other]))
    assert [table.caption.split(":")[0] for table in found] == ["demo", "other"]
    assert not any(row.cells[0] == "off" for table in found for group in table.groups for row in group.rows)


def test_every_form_says_the_same_with_names_that_are_no_markup() -> None:
    report = build_report([*RECORDS, *trials([1.0, 2.0, 3.5], weights=NASTY)])
    document = build_document(report)
    assert "* 90.47" in summary_text(report)
    assert "**\\* 90.47**" in render_markdown(document)
    assert r"\textbf{* 90.47}" in render_latex(report) and r"$\approx$ 61.23" in render_latex(report)
    page = render_html(document)
    assert (
        page.index('class="claims"') < page.index("matrix-1") < page.index("overview-wide") < page.index("overview-t")
    )


def test_each_benchmark_of_the_plot_has_a_scale_of_its_own_and_many_rows_are_split() -> None:
    def mark(heading: str, mean: float) -> marks.Mark:
        return marks.Mark("w", "", "#000000", mean, (mean - 1, mean + 1), heading=heading)

    shown = [mark("a", 1.0), mark("a", 2.0), mark("b", 900.0)]
    drawing = marks._drawing(marks.NARROW, shown, "points", {}, zero=False)
    limits = [axes.get_xlim() for axes in drawing.figure.axes]
    assert len(limits) == 2 and limits[0][1] < 4 and limits[1][0] > 890
    names = [f"bench-{index}" for index in range(9)]
    records = [each for name in names for each in trials([1.0, 2.0, 4.0], weights="random-a", benchmark=name)]
    records += [
        each
        for name in names
        for index in range(6)
        for each in trials([2.0, 5.0, 4.5], weights=f"w{index}", benchmark=name)
    ]
    plots = build_document(build_report(records)).overviews
    assert [plot.name for plot in plots] == ["overview", "overview-2"]
    assert sum(plot.alt.count("bench-") for plot in plots) == 54


def test_no_text_of_a_plot_is_cut_off_or_over_another() -> None:
    long = marks.Mark(
        "supervised-imagenet-of-timm (baseline, 1 of 6 failed)", "+10.26 [+13.58, +16.95]", "#0072B2", 1.0, (0.0, 2.0),
        heading="a-suite/with-a-long-name-of-a-benchmark, Mean per class (lower is better)",
    )  # fmt: skip
    for layout in (marks.WIDE, marks.NARROW):
        drawing = marks._drawing(layout, [long], "difference to supervised-imagenet-of-timm (points)", {}, zero=True)
        figure = drawing.figure
        set_by_matplotlib = [
            figure.text(
                label.across,
                1 - label.down / figure.get_figheight(),
                label.text,
                ha="right" if label.at_end else "left",
                fontweight="bold" if label.bold else "normal",
                fontsize=FONT_SIZE,
            )
            for label in drawing.labels
        ]
        figure.canvas.draw()
        (axes,) = figure.axes
        boxes = [text.get_window_extent() for text in [*set_by_matplotlib, axes.xaxis.label]]
        assert all(box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 for box in boxes)
        label, figures = boxes[1], boxes[2]
        assert label.x1 <= figures.x0
