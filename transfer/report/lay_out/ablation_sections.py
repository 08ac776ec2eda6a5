"""The parts of the document that are about pre-training: curves of the runs, and one section for each ablation."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.report.draw.marks import Plot
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.ablation_curves import course_plot, far_points, sweep_plot
from transfer.report.lay_out.ablation_tables import ablation_table, legend, notes
from transfer.report.lay_out.table import Table
from transfer.report.read.ablation_files import Ablation
from transfer.report.read.evidence import Evidence
from transfer.report.read.published import paper_id, published_ablation


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


def ablation_sections(evidence: Evidence) -> tuple[AblationSection, ...]:
    """In the order in which the evidence has them."""
    return tuple(_section(ablation) for ablation in evidence.ablations)


def _section(ablation: Ablation) -> AblationSection:
    plot = sweep_plot(ablation)
    return AblationSection(
        anchor=f"ablation-of-{fmt.slug(*map(str, ablation.identity))}",
        heading=f"Ablation: {ablation.title[0].lower()}{ablation.title[1:]}",
        subtitle=_subtitle(ablation),
        notes=tuple(notes(ablation)),
        plot=plot,
        caption=_caption(ablation) if plot else "",
        course=course_plot(ablation),
        table=ablation_table(ablation),
        legend=tuple(legend(ablation)),
    )


def _subtitle(ablation: Ablation) -> str:
    changes = f" with {' '.join(ablation.overrides)}" if ablation.overrides else ""
    seeds = sorted({run.seed for run in ablation.runs})
    told = fmt.plural(len(seeds), "seed")
    return f"Pre-training with one thing changed at a time: recipe {ablation.recipe}{changes}, {told} of each setting."


def _caption(ablation: Ablation) -> str:
    """How to read the plot, and what the paper has in its place."""
    parts = [
        "Dot: one run. Line: through the means. Bar: 95 % interval, from three runs on. Dashed: untrained network."
    ]
    published = published_ablation(ablation.study)
    if published and published.figure:
        parts.append(f"In the form of Figure {published.figure} of {paper_id()}, which prints no numbers.")
    if published and published.rows:
        parts.append(f"Published, not measured: {published.source} ({published.setting}).")
    if far := far_points(ablation):
        parts.append(f"Too far off to share the axis: {'; '.join(far)}.")
    return " ".join(parts)
