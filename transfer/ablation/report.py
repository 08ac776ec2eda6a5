"""The report of an ablation: Markdown with the measured and the published table, CSV with every run, plots."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.files import write_text
from transfer.ablation import plots
from transfer.ablation.evaluate import Evaluation
from transfer.ablation.metrics import METRICS, Metric
from transfer.ablation.outcome import Outcome
from transfer.ablation.study import Arm, Published, Study

MISSING = "–"


@dataclass(frozen=True)
class Report:
    """What is reported.

    Attributes:
        overrides: the user's.
        outcomes: of every run, in the order of the table.
        untrained: of the network as it is initialised.
    """

    study: Study
    recipe: str
    overrides: Sequence[str]
    data: Path
    outcomes: Sequence[Outcome]
    untrained: Evaluation

    def by_arm(self) -> dict[Arm, list[Outcome]]:
        """The runs of each setting."""
        arms: dict[Arm, list[Outcome]] = {}
        for outcome in self.outcomes:
            arms.setdefault(outcome.run.arm, []).append(outcome)
        return arms


def write(report: Report, folder: Path) -> Path:
    """Writes ``report.md``, ``results.csv``, ``course.png`` and ``.svg``, and ``sweep.*`` where a number is swept.

    Returns:
        The path of the Markdown.
    """
    figures = plots.draw(report.study, report.by_arm(), folder)
    write_text(folder / "results.csv", csv_text(report))
    path = folder / "report.md"
    write_text(path, markdown(report, figures))
    return path


def markdown(report: Report, figures: Sequence[str]) -> str:
    """The report as text.

    Args:
        figures: names of the plots' files.
    """
    study = report.study
    changes = " ".join(report.overrides) or "no overrides"
    seeds = sorted({outcome.run.seed for outcome in report.outcomes})
    parts = [
        f"# Ablation: {study.title}",
        f"Recipe `{report.recipe}` ({changes}), data `{report.data}`, "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}.",
        "## Measured",
        _measured(report),
        _legend(report),
        _words(report),
        *(f"![{name}]({name})" for name in figures if name.endswith(".png")),
        *([_published(study.published)] if study.published else []),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured(report: Report) -> str:
    columns = report.study.columns
    rows = []
    for arm, outcomes in report.by_arm().items():
        cells = [_summary(METRICS[name], [outcome.figures.get(name) for outcome in outcomes]) for name in columns]
        rows.append([arm.label, *cells, _sentinel_cell(outcomes)])
    floor = {"acc": report.untrained.acc, "nmi": report.untrained.nmi}
    cells = [METRICS[name].form(floor[name]) if name in floor else MISSING for name in columns]
    rows.append(["untrained network", *cells, MISSING])
    return _table(["", *columns, "sentinel"], rows)


def _summary(metric: Metric, values: Sequence[float | None]) -> str:
    """The mean, with the sample standard deviation where there are several runs; every run has to have a value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"{len(values) - len(known)} of {len(values)} failed" if len(values) > 1 else "failed"
    mean = metric.form(statistics.fmean(known))
    return f"{mean} ± {metric.form(statistics.stdev(known))}" if len(known) > 1 else mean


def _sentinel_cell(outcomes: Sequence[Outcome]) -> str:
    warned = sum(bool(outcome.warnings) for outcome in outcomes)
    if len(outcomes) == 1:
        return "collapse" if warned else "quiet"
    return f"collapse in {warned} of {len(outcomes)}" if warned else "quiet"


def _legend(report: Report) -> str:
    evaluation = report.untrained
    lines = [f"- {name}: {METRICS[name].meaning}" for name in report.study.columns]
    lines.append(
        f"- accuracy from {evaluation.num_train} training images and {evaluation.num_val} of val; the "
        "classifier's l2 is chosen on held-out training images"
    )
    lines.append("- loss, its terms, gradient and deviations: means of the last epoch's logged steps")
    if len({outcome.run.seed for outcome in report.outcomes}) > 1:
        lines.append("- mean ± sample standard deviation over the seeds")
    return "\n".join(lines)


def _words(report: Report) -> str:
    """What the sentinel says, and why runs have no result."""
    lines = []
    for outcome in report.outcomes:
        who = f"{outcome.run.arm.label}, seed {outcome.run.seed}"
        lines += [f"- {who}: {warning}" for warning in outcome.warnings]
        if outcome.failure:
            lines.append(f"- {who}: {outcome.failure} (`{outcome.run.out}`)")
    return "\n".join(["The sentinel, and runs without a result:", "", *lines]) if lines else ""


def _published(published: Published) -> str:
    rows = [[str(value) for value in row] for row in published.rows]
    head = f"## Published, not measured here\n\nThe paper's {published.where} ({published.setting})."
    return "\n\n".join(part for part in (head, _table(published.columns, rows), published.note) if part)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def csv_text(report: Report) -> str:
    """One line a run: its setting, every figure in full precision, and where it is."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["study", "setting", "overrides", "seed", *METRICS, "sentinel", "failure", "folder"])
    for outcome in report.outcomes:
        run = outcome.run
        figures = [outcome.figures.get(name, "") for name in METRICS]
        words = [" | ".join(outcome.warnings), outcome.failure or "", run.out]
        table.writerow([report.study.name, run.arm.label, " ".join(run.arm.overrides), run.seed, *figures, *words])
    return text.getvalue()
