"""Curves of pre-training: what runs logged over their steps, and an ablation's results over what is swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transfer.report.compare.statistics import summarize
from transfer.report.draw.panels import Curve, Panel, draw_panels
from transfer.report.draw.plot import PALETTE, Plot
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import Table, number_columns, plain_table, text_columns
from transfer.report.read.ablation_files import Ablation, values
from transfer.report.read.pretraining import Pretraining
from transfer.report.read.published import PublishedRow, published_ablation

MAX_RUNS = 6  # one colour each
REACH = 8  # a published point farther from the measured numbers than this factor would squeeze them

# What runs log: title, and the factor that makes percent of shares.
WATCHED = {
    "loss": ("Loss", 1),
    "consistency": ("Consistency (nats)", 1),
    "sharpness": ("Sharpness (nats)", 1),
    "diversity": ("Diversity (nats)", 1),
    "agreement": ("Views with the same argmax (%)", 100),
    "train_nmi": ("NMI with the labels (%)", 100),
    "used_classes": ("Classes in use", 1),
    "self_labeling_loss": ("Self-labeling loss", 1),
    "self_labeling_kept": ("Labelled share of the batch (%)", 100),
}
WATCHED_IN_ABLATIONS = {
    **{name: WATCHED[name] for name in ("loss", "sharpness", "diversity")},
    "grad_before_nbs": ("Gradient before the norm (10⁻⁴)", 10_000),
    "std_r_after_nbs": ("Std. over classes, at the softmax", 1),
    "train_nmi": WATCHED["train_nmi"],
}
SWEPT_FIGURES = {"acc": "Linear accuracy (%)", "nmi": "NMI of the class head (%)"}


@dataclass(frozen=True)
class TrainingCurves:
    """``note``: what the plot does not show; ``runs``: one row per run."""

    plot: Plot
    runs: Table
    note: str


def training_curves(found: Sequence[Pretraining]) -> TrainingCurves | None:
    """All runs over their steps; None where none has logged a statistic that is watched."""
    runs = [run for run in found if run.curves.keys() & WATCHED.keys()]
    if not runs:
        return None
    shown = runs[:MAX_RUNS]
    plot = _logged_plot("pretraining", "Curves of pre-training", shown, WATCHED, range(len(shown)))
    columns = [*text_columns("Run", "Recipe"), *number_columns("Epochs", "Steps")]
    columns += text_columns("Recipe's hash", "SHA-256 of its backbone")
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
    note = f"The first {len(shown)} of {len(runs)} runs are drawn." if len(runs) > len(shown) else ""
    return TrainingCurves(plot, plain_table("Pre-training runs", columns, rows), note)


def course_plot(ablation: Ablation) -> Plot | None:
    """What an ablation's runs logged over their steps: one line per run, one style per setting; None without logs."""
    runs = [run for run in ablation.courses if run.curves.keys() & WATCHED_IN_ABLATIONS.keys()]
    if not runs:
        return None
    settings = list(ablation.by_setting())
    what = f"Training curves of {ablation.title[0].lower()}{ablation.title[1:]}"
    name = f"course-{fmt.slug(*map(str, ablation.identity))}"
    return _logged_plot(name, what, runs, WATCHED_IN_ABLATIONS, [settings.index(run.label) for run in runs])


def _logged_plot(
    name: str,
    what: str,
    runs: Sequence[Pretraining],
    statistics: Mapping[str, tuple[str, int]],
    styles: Sequence[int],
) -> Plot:
    """One panel for each statistic that was logged; ``styles``: index of each run's colour and dash."""
    panels = []
    for statistic, (title, scale) in statistics.items():
        curves = [
            Curve(
                label=run.label,
                colour=PALETTE[style % len(PALETTE)],
                points=[(step, scale * value) for step, value in run.curves[statistic]],
                dash=style,
            )
            for run, style in zip(runs, styles, strict=True)
            if statistic in run.curves
        ]
        panels += [Panel(title, "step", curves)] if curves else []
    alt = f"{what}, last values: " + "; ".join(
        f"{run.label}: "
        + ", ".join(f"{each} {fmt.significant(run.curves[each][-1][1])}" for each in statistics if each in run.curves)
        for run in runs
    )
    return draw_panels(name, alt, panels)


def sweep_plot(ablation: Ablation) -> Plot | None:
    """Accuracy and NMI over what is swept, as in the paper's figure 4; None where nothing is swept.

    Every run is a dot, a line goes through the means, and 95 % intervals are drawn where there are three runs.
    Published points are beside them, hollow and unjoined, where they are near enough to share the axis.
    """
    if ablation.swept is None or not _swept_numbers(ablation):
        return None
    panels = [_sweep_panel(ablation, name, title) for name, title in SWEPT_FIGURES.items()]
    words = []
    for setting, runs in ablation.by_setting().items():
        means = {name: summarize([*values(runs, name).values()]).mean for name in SWEPT_FIGURES}
        words.append(f"{setting}: " + ", ".join(f"{name.upper()} {fmt.number(mean)}" for name, mean in means.items()))
    alt = f"{ablation.title}: " + "; ".join(words)
    return draw_panels(f"ablation-{fmt.slug(*map(str, ablation.identity))}", alt, panels)


def far_points(ablation: Ablation) -> list[str]:
    """The published points that are too far off to be drawn, in words."""
    return [
        f"{row.method}, {name.upper()} {fmt.number(value, digits=1)} %"
        for row, _ in _published_points(ablation, near=False)
        for name, value in row.values.items()
    ]


def _sweep_panel(ablation: Ablation, name: str, title: str) -> Panel:
    settings = [
        (float(runs[0].value), values(runs, name))
        for runs in ablation.by_setting().values()
        if runs[0].value is not None and values(runs, name)
    ]
    settings.sort(key=lambda setting: setting[0])
    summaries = [(x, summarize([*figures.values()])) for x, figures in settings]
    measured = Curve(
        label="measured",
        colour=PALETTE[0],
        points=[(x, summary.mean) for x, summary in summaries if summary.mean is not None],
        dots=[(x, figure) for x, figures in settings for figure in figures.values()],
        intervals=[(x, each.interval.low, each.interval.high) for x, each in summaries if each.interval],
    )
    points = [(x, row.values[name]) for row, x in _published_points(ablation, near=True) if name in row.values]
    printed = [Curve("published, not measured", PALETTE[1], points, published=True)] if points else []
    ticks = sorted({*_swept_numbers(ablation), *(x for x, _ in points)})
    return Panel(
        title=title,
        x_label=ablation.swept or "",
        curves=[measured, *printed],
        floor=ablation.untrained.get(name),
        ticks=ticks,
        logarithmic=min(ticks) > 0,
    )


def _swept_numbers(ablation: Ablation) -> list[float]:
    return sorted({run.value for run in ablation.runs if run.value is not None and run.figures})


def _published_points(ablation: Ablation, *, near: bool) -> list[tuple[PublishedRow, float]]:
    """The published rows of a sweep that are, or are not, within reach of what was measured, with their numbers."""
    numbers, published = _swept_numbers(ablation), published_ablation(ablation.study)
    if not published or not numbers:
        return []
    low, high = min(numbers) / REACH, max(numbers) * REACH
    rows = [(row, row.at) for row in published.rows if row.at is not None]
    return [(row, at) for row, at in rows if (low <= at <= high) == near]
