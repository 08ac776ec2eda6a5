"""Curves of the pre-training runs that were found: loss and its terms, agreement of views, use of classes, NMI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transfer.report.draw.marks import PALETTE, Plot
from transfer.report.draw.panels import Curve, Panel, draw_panels
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.table import Column, Table, plain_table
from transfer.report.read.pretraining import Pretraining

MAX_RUNS = 6  # one colour each


@dataclass(frozen=True)
class Watched:
    """A statistic that runs log: its title, and what makes percent of it."""

    title: str
    scale: float = 1.0


WATCHED = {
    "loss": Watched("Loss"),
    "consistency": Watched("Consistency (nats)"),
    "sharpness": Watched("Sharpness (nats)"),
    "diversity": Watched("Diversity (nats)"),
    "agreement": Watched("Views with the same argmax (%)", 100),
    "train_nmi": Watched("NMI with the labels (%)", 100),
    "used_classes": Watched("Classes in use"),
    "self_labeling_loss": Watched("Self-labeling loss"),
    "self_labeling_kept": Watched("Labelled share of the batch (%)", 100),
}


@dataclass(frozen=True)
class TrainingCurves:
    """``note``: what the plot leaves out; ``runs``: one row a run."""

    plot: Plot
    runs: Table
    note: str


def training_curves(found: Sequence[Pretraining]) -> TrainingCurves | None:
    """All runs over their steps; None where none has logged a statistic that is watched."""
    runs = [run for run in found if run.curves.keys() & WATCHED.keys()]
    if not runs:
        return None
    shown = runs[:MAX_RUNS]
    panels = [_panel(name, watched, shown) for name, watched in WATCHED.items()]
    panels = [panel for panel in panels if panel.curves]
    alt = "Curves of pre-training, last values: " + "; ".join(
        f"{run.label}: "
        + ", ".join(f"{name} {fmt.significant(run.curves[name][-1][1])}" for name in WATCHED if name in run.curves)
        for run in shown
    )
    note = f"The first {len(shown)} of {len(runs)} runs are drawn." if len(runs) > len(shown) else ""
    return TrainingCurves(draw_panels("pretraining", alt, panels), _runs_table(runs), note)


def _panel(name: str, watched: Watched, runs: Sequence[Pretraining]) -> Panel:
    curves = [
        Curve(
            label=run.label,
            colour=PALETTE[index % len(PALETTE)],
            points=[(step, watched.scale * value) for step, value in run.curves[name]],
            dash=index,
        )
        for index, run in enumerate(runs)
        if name in run.curves
    ]
    return Panel(watched.title, "step", curves)


def _runs_table(runs: Sequence[Pretraining]) -> Table:
    columns = [
        Column("Run", numeric=False),
        Column("Recipe", numeric=False),
        Column("Epochs"),
        Column("Steps"),
    ]
    columns += [Column("Recipe's hash", numeric=False), Column("SHA-256 of its backbone", numeric=False)]
    rows = [
        (
            run.label,
            str(run.facts.get("recipe", "not finished")),
            str(run.facts.get("epochs", fmt.NOTHING)),
            fmt.count(run.last_step),
            fmt.short_hash(run.facts.get("recipe_sha256", "")),
            fmt.short_hash(run.facts.get("backbone_sha256", "")),
        )
        for run in runs
    ]
    return plain_table("Pre-training runs", columns, rows)
