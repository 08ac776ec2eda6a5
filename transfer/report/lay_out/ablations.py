"""Ablations beside the paper's: tables in the form of 7 and 8, and the same for what is swept in figure 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from transfer.report.compare.statistics import summarize
from transfer.report.draw.plot import Plot
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.curves import course_plot, far_points, sweep_plot
from transfer.report.lay_out.provenance import Card
from transfer.report.lay_out.tables import (
    Column,
    RowGroup,
    Table,
    TableRow,
    number_columns,
    plain_table,
    text_columns,
)
from transfer.report.read.ablation_files import Ablation, AblationRun, values
from transfer.report.read.published import PublishedTable, paper_id, published_ablation

TITLES = {
    "acc": "ACC",
    "nmi": "NMI",
    "loss": "Loss",
    "consistency": "Consistency",
    "sharpness": "Sharpness",
    "diversity": "Diversity",
    "grad": "Gradient",
    "std_c_before": "Std. over images",
    "std_r_before": "Std. over classes",
    "std_c_after": "Std. over images, at the softmax",
    "std_r_after": "Std. over classes, at the softmax",
    "used_classes": "Classes in use",
}
PERCENT = ("acc", "nmi")
MAIN = "acc"


@dataclass(frozen=True)
class AblationSection:
    """One ablation.

    Attributes:
        anchor: id in the page.
        plot: the figures over what is swept, ``caption`` of it.
        course: the statistics that the runs logged over their steps.
        legend: what the columns are.
    """

    anchor: str
    heading: str
    subtitle: str
    notes: tuple[str, ...]
    plot: Plot | None
    caption: str
    course: Plot | None
    table: Table
    legend: tuple[str, ...]


def ablation_section(ablation: Ablation) -> AblationSection:
    recipe = f"recipe {ablation.recipe}" + (f" with {' '.join(ablation.overrides)}" if ablation.overrides else "")
    seeds = fmt.plural(len({run.seed for run in ablation.runs}), "seed")
    notes = [f"{run.setting}, seed {run.seed} has no result: {run.failure}" for run in ablation.runs if run.failure]
    if ablation.edited:
        notes.append("The outcome's file was edited after it was written.")
    meanings = ablation.meanings
    described = [f"{_title(name)}: {meanings[name]}." for name in ablation.columns if name in meanings]
    plot = sweep_plot(ablation)
    caption = [
        "Dot: one run. Line: through the means. Bar: 95 % interval, from three runs on. Dashed: untrained network."
    ]
    published = published_ablation(ablation.study)
    if published and published.figure:
        caption.append(f"In the form of Figure {published.figure} of {paper_id()}, which prints no numbers.")
    if published and published.rows:
        caption.append(f"Published, not measured: {published.source} ({published.setting}).")
    if far := far_points(ablation):
        caption.append(f"Too far off to share the axis: {'; '.join(far)}.")
    return AblationSection(
        anchor=f"ablation-of-{fmt.slug(*map(str, ablation.identity))}",
        heading=f"Ablation: {ablation.title[0].lower()}{ablation.title[1:]}",
        subtitle=f"Pre-training with one thing changed at a time: {recipe}, {seeds} of each setting.",
        notes=tuple(notes),
        plot=plot,
        caption=" ".join(caption) if plot else "",
        course=course_plot(ablation),
        table=ablation_table(ablation),
        legend=(*described, f"Images: {_images(ablation)}."),
    )


def ablation_table(ablation: Ablation) -> Table:
    """Settings down, figures across, the paper's columns first; published rows apart."""
    published = published_ablation(ablation.study)
    names = _figure_names(ablation, published)
    figures = [Column(_title(name), strong=name == MAIN) for name in names]
    columns = (*text_columns("Setting"), *figures, *text_columns("Collapse"))
    measured = []
    for setting, runs in ablation.by_setting().items():
        with_result = [run for run in runs if run.failure is None]
        lost = len(runs) - len(with_result)
        label = f"{setting} ({lost} of {len(runs)} failed)" if lost else setting
        warned = sum(bool(run.sentinel) for run in with_result)
        collapse = f"{warned} of {len(with_result)}" if warned else "none" if with_result else fmt.NOTHING
        cells = (label, *(_mean_and_spread(runs, name) for name in names), collapse)
        measured.append(TableRow(cells, card=_setting_anchor(ablation, setting)))
    floor = ("untrained network (floor)", *(_figure(name, ablation.untrained.get(name)) for name in names), "")
    groups = [
        RowGroup("Measured", tuple(measured)),
        RowGroup("Floor: reached without training", (TableRow(floor, "floor"),)),
    ]
    form = ""
    if published and published.rows:
        printed = [(row.method, *(fmt.printed(row.values.get(name)) for name in names), "") for row in published.rows]
        heading = f"Published, not measured: {published.source} ({published.setting})"
        groups.append(RowGroup(heading, tuple(TableRow(cells, "published") for cells in printed)))
        if published.figure is None:
            form = f", in the form of {published.source.split(' of ')[0]}"
    caption = f"{ablation.title}{form}: mean ± standard deviation (runs); ACC and NMI in percent"
    return Table(caption, columns, tuple(groups))


def setting_cards(ablation: Ablation) -> Iterator[Card]:
    """One card for each setting: what it changes, and every run."""
    names = _figure_names(ablation, published_ablation(ablation.study))
    columns = number_columns("Seed", *map(_title, names)) + text_columns("Recipe", "Folder", "Collapse", "Failure")
    for setting, runs in ablation.by_setting().items():
        rows = [
            (
                str(run.seed),
                *(_figure(name, run.figures.get(name)) for name in names),
                fmt.short_hash(run.recipe_sha256),
                run.folder,
                "; ".join(run.sentinel) or "none",
                run.failure or "none",
            )
            for run in runs
        ]
        yield Card(
            anchor=_setting_anchor(ablation, setting),
            title=f"{ablation.title}: {setting}",
            facts=(
                ("Changed in the recipe", " ".join(runs[0].overrides) or "nothing"),
                ("Recipe", " ".join([ablation.recipe, *ablation.overrides])),
                ("Images", _images(ablation, ": ")),
                ("Outcome's file", "edited after it was written" if ablation.edited else "as it was written"),
            ),
            trials=plain_table("Runs", columns, rows),
        )


def _figure_names(ablation: Ablation, published: PublishedTable | None) -> list[str]:
    """Those that the paper prints, then what else the study shows."""
    return list(dict.fromkeys([*(published.metrics if published else ()), *ablation.columns]))


def _title(name: str) -> str:
    """Of a figure; an unknown one stays as it is."""
    return TITLES.get(name, name)


def _figure(name: str, value: float | None) -> str:
    return fmt.number(value) if name in PERCENT else fmt.significant(value)


def _mean_and_spread(runs: list[AblationRun], name: str) -> str:
    figures = summarize([*values(runs, name).values()])
    if figures.n == 0:
        return fmt.NOTHING
    spread = ""
    if figures.sd is not None:
        spread = f" ± {fmt.number(figures.sd) if name in PERCENT else f'{figures.sd:.2g}'}"
    return f"{_figure(name, figures.mean)}{spread} ({figures.n})"


def _setting_anchor(ablation: Ablation, setting: str) -> str:
    """Id of the card that shows where a setting's figures come from."""
    return f"ablation-{fmt.slug(*map(str, ablation.identity), setting)}"


def _images(ablation: Ablation, separator: str = ", ") -> str:
    counts = f"{fmt.count(ablation.num_train)} to fit the classifier, {fmt.count(ablation.num_val)} to score it"
    return f"{ablation.data}{separator}{counts}"
