"""The plots of an ablation: the course of the training, and results over what is swept."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from common.files import atomic_path
from transfer.ablation.outcome import Outcome
from transfer.ablation.study import Arm, Study

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: safe for colour blindness
PANEL_INCHES = (4.2, 3.2)
SWEEP_METRICS = {"acc": "linear accuracy (%)", "nmi": "NMI (%)"}
FORMATS = ("png", "svg")

Arms = Mapping[Arm, Sequence[Outcome]]


def draw(study: Study, arms: Arms, folder: Path) -> list[str]:
    """Writes the plots.

    Returns:
        The files' names.
    """
    names = _save(course(study, arms), folder / "course")
    if study.swept is not None and any(outcome.figures for outcomes in arms.values() for outcome in outcomes):
        names += _save(sweep(study, arms), folder / "sweep")
    return names


def course(study: Study, arms: Arms) -> Figure:
    """A panel for each of the study's curves: one line a run over the epochs, one colour a setting."""
    figure, panels = _panels(len(study.curves))
    for panel, name in zip(panels, study.curves, strict=True):
        for colour, (arm, outcomes) in zip(_colours(len(arms)), arms.items(), strict=True):
            for number, outcome in enumerate(outcomes):
                epochs, values = curve(outcome, name)
                panel.plot(epochs, values, color=colour, linewidth=1.5, label=None if number else arm.label)
        panel.set_xlabel("epoch")
        panel.set_title(name)
    panels[0].legend(frameon=False, fontsize="small")
    return figure


def curve(outcome: Outcome, name: str) -> tuple[list[float], list[float]]:
    """Epochs done and the statistic's values, wherever the run logged it."""
    ends = [line for line in outcome.lines if line["kind"] == "epoch"]
    if not ends:
        return [], []
    steps_per_epoch = ends[0]["step"] / (ends[0]["epoch"] + 1)
    lines = [line for line in outcome.lines if name in line]
    return [line["step"] / steps_per_epoch for line in lines], [line[name] for line in lines]


def sweep(study: Study, arms: Arms) -> Figure:
    """Linear accuracy and NMI over the swept number: every run a dot, a line through the means."""
    figure, panels = _panels(len(SWEEP_METRICS))
    for panel, (name, title) in zip(panels, SWEEP_METRICS.items(), strict=True):
        means = {}
        for arm, outcomes in arms.items():
            values = [100 * outcome.figures[name] for outcome in outcomes if name in outcome.figures]
            panel.plot([arm.value] * len(values), values, "o", color=PALETTE[0], markersize=4)
            if values:
                means[arm.value] = statistics.fmean(values)
        panel.plot(list(means), list(means.values()), color=PALETTE[0], linewidth=1.5)
        if all(arm.value for arm in arms):  # no zero among them
            panel.set_xscale("log", base=2)
        panel.set_xticks([arm.value for arm in arms], [f"{arm.value:g}" for arm in arms])
        panel.minorticks_off()
        panel.set_xlabel(study.swept)
        panel.set_title(title)
    return figure


def _panels(number: int) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(PANEL_INCHES[0] * number, PANEL_INCHES[1]), layout="constrained")
    panels = list(figure.subplots(1, number, squeeze=False)[0])
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.3)
    return figure, panels


def _colours(number: int) -> list[str]:
    return [PALETTE[index % len(PALETTE)] for index in range(number)]


def _save(figure: Figure, stem: Path) -> list[str]:
    names = []
    # The same runs give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "ablation"}):
        for form in FORMATS:
            with atomic_path(stem.with_suffix(f".{form}")) as temporary:
                figure.savefig(temporary, dpi=150, metadata={"Date": None} if form == "svg" else None)
            names.append(f"{stem.name}.{form}")
    return names
