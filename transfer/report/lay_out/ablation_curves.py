"""Ablations as curves: accuracy and NMI over what is swept, as in the paper's figures 3 and 4."""

from __future__ import annotations

from transfer.report.draw.marks import PALETTE, Plot
from transfer.report.draw.panels import Curve, Panel, draw_panels
from transfer.report.lay_out import format as fmt
from transfer.report.read.ablation_files import Ablation, AblationRun, summary, values
from transfer.report.read.published import PublishedRow, PublishedTable, published_ablation

SWEPT_FIGURES = {"acc": "Linear accuracy (%)", "nmi": "NMI of the class head (%)"}
COURSE = {
    "loss": "Loss",
    "sharpness": "Sharpness (nats)",
    "diversity": "Diversity (nats)",
    "grad_before_nbs": "Gradient before the norm",
    "std_r_after_nbs": "Std. over classes, at the softmax",
    "train_nmi": "NMI with the labels (%)",
}
REACH = 8  # a published point farther from the measured numbers than this factor would squeeze them


def sweep_plot(ablation: Ablation) -> Plot | None:
    """Every run a dot, a line through the means, 95 % intervals from three runs on; None where nothing is swept.

    Published points stand beside them, hollow and unjoined, where they are near enough to share the axis.
    """
    numbers = sorted({run.value for run in ablation.runs if run.value is not None and run.figures})
    if ablation.swept is None or not numbers:
        return None
    published = published_ablation(ablation.study)
    panels = [_panel(ablation, name, title, numbers, published) for name, title in SWEPT_FIGURES.items()]
    alt = f"{ablation.title}: " + "; ".join(_words(setting, runs) for setting, runs in ablation.by_setting().items())
    return draw_panels(f"ablation-{fmt.slug(*map(str, ablation.identity))}", alt, panels)


def course_plot(ablation: Ablation) -> Plot | None:
    """What the runs logged over their steps: one line per run, one colour per setting; None without any log."""
    settings = list(ablation.by_setting())
    panels = []
    for name, title in COURSE.items():
        scale = 100 if name == "train_nmi" else 1
        curves = [
            Curve(
                label=run.label,
                colour=PALETTE[settings.index(run.label) % len(PALETTE)],
                points=[(step, scale * value) for step, value in run.curves[name]],
                dash=settings.index(run.label),
            )
            for run in ablation.courses
            if name in run.curves
        ]
        if curves:
            panels.append(Panel(title, "step", curves))
    if not panels:
        return None
    alt = f"Training curves of {ablation.title[0].lower()}{ablation.title[1:]}, last values: " + "; ".join(
        f"{run.label}: "
        + ", ".join(f"{name} {fmt.significant(run.curves[name][-1][1])}" for name in COURSE if name in run.curves)
        for run in ablation.courses
    )
    return draw_panels(f"course-{fmt.slug(*map(str, ablation.identity))}", alt, panels)


def far_points(ablation: Ablation) -> list[str]:
    """The published points that are too far off to be drawn, in words."""
    numbers = sorted({run.value for run in ablation.runs if run.value is not None and run.figures})
    published = published_ablation(ablation.study)
    if not published or not numbers:
        return []
    far = [row for row in published.rows if row.at is not None and not _is_near(row.at, numbers)]
    return [
        f"{row.method}, {name.upper()} {fmt.number(value, digits=1)} %"
        for row in far
        for name, value in row.values.items()
    ]


def _panel(ablation: Ablation, name: str, title: str, numbers: list[float], published: PublishedTable | None) -> Panel:
    settings = [runs for runs in ablation.by_setting().values() if runs[0].value is not None and values(runs, name)]
    settings.sort(key=lambda runs: runs[0].value or 0.0)
    at = [(float(runs[0].value or 0.0), runs) for runs in settings]
    summaries = [(x, summary(runs, name)) for x, runs in at]
    measured = Curve(
        label="measured",
        colour=PALETTE[0],
        points=[(x, figures.mean) for x, figures in summaries if figures.mean is not None],
        dots=[(x, value) for x, runs in at for value in values(runs, name).values()],
        intervals=[(x, each.interval.low, each.interval.high) for x, each in summaries if each.interval],
    )
    points = _published_points(published, name, numbers)
    printed = [Curve("published, not measured", PALETTE[1], points, published=True)] if points else []
    ticks = sorted({*numbers, *(x for x, _ in points)})
    return Panel(
        title=title,
        x_label=ablation.swept or "",
        curves=[measured, *printed],
        floor=ablation.untrained.get(name),
        ticks=ticks,
        logarithmic=min(ticks) > 0,
    )


def _published_points(published: PublishedTable | None, name: str, numbers: list[float]) -> list[tuple[float, float]]:
    rows: tuple[PublishedRow, ...] = published.rows if published else ()
    return [
        (row.at, row.values[name])
        for row in rows
        if row.at is not None and name in row.values and _is_near(row.at, numbers)
    ]


def _is_near(number: float, numbers: list[float]) -> bool:
    """Within the reach of what was measured."""
    return min(numbers) / REACH <= number <= max(numbers) * REACH


def _words(setting: str, runs: list[AblationRun]) -> str:
    means = {name: summary(runs, name).mean for name in SWEPT_FIGURES}
    return f"{setting}: " + ", ".join(f"{name.upper()} {fmt.number(mean)}" for name, mean in means.items())
