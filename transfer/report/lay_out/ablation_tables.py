"""Ablations beside the paper's: tables in the form of 7 and 8, and the same for what is swept in figures 3 and 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.cards import Card
from transfer.report.lay_out.table import Column, RowGroup, Table, TableRow, plain_table
from transfer.report.read.ablation_files import Ablation, AblationRun, summary
from transfer.report.read.published import PublishedTable, published_ablation

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


def ablation_table(ablation: Ablation) -> Table:
    """Settings down, figures across, the paper's columns first; published rows apart."""
    published = published_ablation(ablation.study)
    names = figure_names(ablation, published)
    columns = [Column("Setting", numeric=False)]
    columns += [Column(title(name), strong=name == MAIN) for name in names]
    columns.append(Column("Collapse", numeric=False))
    groups = [
        RowGroup("Measured", tuple(_measured(ablation, names))),
        RowGroup("Floor: reached without training", (_untrained(ablation, names),)),
    ]
    if published and published.rows:
        heading = f"Published, not measured: {published.source} ({published.setting})"
        groups.append(RowGroup(heading, tuple(_published(published, names))))
    is_table = published is not None and published.rows and published.figure is None
    form = f", in the form of {published.source.split(' of ')[0]}" if published and is_table else ""
    caption = f"{ablation.title}{form}: mean ± standard deviation (runs); ACC and NMI in percent"
    return Table(caption, tuple(columns), tuple(groups))


def figure_names(ablation: Ablation, published: PublishedTable | None) -> list[str]:
    """Those that the paper prints, then what else the study shows."""
    return list(dict.fromkeys([*(published.metrics if published else ()), *ablation.columns]))


def title(name: str) -> str:
    """An unknown one stays as it is."""
    return TITLES.get(name, name)


def figure(name: str, value: float | None) -> str:
    return fmt.number(value) if name in PERCENT else fmt.significant(value)


def setting_anchor(ablation: Ablation, setting: str) -> str:
    """Id of the card that tells where a setting's figures come from."""
    return f"ablation-{fmt.slug(*map(str, ablation.identity), setting)}"


def setting_cards(ablation: Ablation) -> Iterator[Card]:
    """One card for each setting: what it changes, and every run."""
    names = figure_names(ablation, published_ablation(ablation.study))
    columns = [Column("Seed"), *(Column(title(name)) for name in names)]
    columns += [Column(each, numeric=False) for each in ("Recipe", "Folder", "Collapse", "Failure")]
    for setting, runs in ablation.by_setting().items():
        rows = [
            (
                str(run.seed),
                *(figure(name, run.figures.get(name)) for name in names),
                fmt.short_hash(run.recipe_sha256),
                run.folder,
                "; ".join(run.sentinel) or "none",
                run.failure or "none",
            )
            for run in runs
        ]
        yield Card(
            anchor=setting_anchor(ablation, setting),
            title=f"{ablation.title}: {setting}",
            facts=(
                ("Changed in the recipe", " ".join(runs[0].overrides) or "nothing"),
                ("Recipe", " ".join([ablation.recipe, *ablation.overrides])),
                ("Images", f"{ablation.data}: {_counts(ablation)}"),
                ("Outcome's file", "edited after it was written" if ablation.edited else "as it was written"),
            ),
            trials=plain_table("Runs", columns, rows),
        )


def notes(ablation: Ablation) -> list[str]:
    """What a reader must be told: runs without a result, and collapses."""
    found = [f"{run.setting}, seed {run.seed} has no result: {run.failure}" for run in ablation.runs if run.failure]
    return found + (["The outcome's file was edited after it was written."] if ablation.edited else [])


def legend(ablation: Ablation) -> list[str]:
    """What the columns are."""
    lines = [f"{title(name)}: {ablation.meanings[name]}." for name in ablation.columns if name in ablation.meanings]
    return [*lines, f"Images: {ablation.data}, {_counts(ablation)}."]


def _counts(ablation: Ablation) -> str:
    return f"{fmt.count(ablation.num_train)} to fit the classifier, {fmt.count(ablation.num_val)} to score it"


def _measured(ablation: Ablation, names: Sequence[str]) -> Iterator[TableRow]:
    for setting, runs in ablation.by_setting().items():
        lost = sum(run.failure is not None for run in runs)
        label = f"{setting} ({lost} of {len(runs)} failed)" if lost else setting
        cells = [_summary(runs, name) for name in names]
        yield TableRow((label, *cells, _collapse(runs)), card=setting_anchor(ablation, setting))


def _summary(runs: list[AblationRun], name: str) -> str:
    figures = summary(runs, name)
    if figures.n == 0:
        return fmt.NOTHING
    digits = figure(name, figures.sd) if name in PERCENT else f"{figures.sd:.2g}" if figures.sd is not None else ""
    spread = f" ± {digits}" if figures.sd is not None else ""
    return f"{figure(name, figures.mean)}{spread} ({figures.n})"


def _collapse(runs: list[AblationRun]) -> str:
    """In how many of the runs that have a result the sentinel warned."""
    with_result = [run for run in runs if run.failure is None]
    if not with_result:
        return fmt.NOTHING
    warned = sum(bool(run.sentinel) for run in with_result)
    return f"{warned} of {len(with_result)}" if warned else "none"


def _untrained(ablation: Ablation, names: Sequence[str]) -> TableRow:
    cells = [figure(name, ablation.untrained.get(name)) for name in names]
    return TableRow(("untrained network (floor)", *cells, ""), "floor")


def _published(published: PublishedTable, names: Sequence[str]) -> Iterator[TableRow]:
    for row in published.rows:
        yield TableRow((row.method, *(fmt.printed(row.values.get(name)) for name in names), ""), "published")
