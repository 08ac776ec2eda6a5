"""The report's order and words, free of markup: what Markdown and HTML both lay out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.report.compare.model import Report
from transfer.report.compare.runs import methods
from transfer.report.compare.statistics import MIN_TRIALS
from transfer.report.draw.plot import Plot
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out import tables
from transfer.report.lay_out.claims import CLAIMS_NOTE, claim, headline, outlier_notes
from transfer.report.lay_out.evidence_tables import near_duplicates_sentence
from transfer.report.lay_out.figures import overview_plots, trial_caption, trial_plot
from transfer.report.lay_out.matrix import matrices, ranking_tables
from transfer.report.lay_out.methods import ONE_RUN, methods_tables
from transfer.report.lay_out.paper_tables import paper_tables
from transfer.report.lay_out.provenance import (
    Card,
    cards,
    notes,
    provenance_tables,
    scored_again,
)
from transfer.report.lay_out.seals import ledger_fact, ledger_warnings, seal_warnings
from transfer.report.lay_out.tables import Table

# What lays out evidence and pictures is imported where there are some: most reports have none.
if TYPE_CHECKING:
    from transfer.report.lay_out.ablations import AblationSection
    from transfer.report.lay_out.curves import TrainingCurves
    from transfer.report.lay_out.strips import Strip

TITLE, EVIDENCE_TITLE = "Transfer report", "Pre-training report"

# Term and text.
READING = (
    (
        "Figures",
        "In percent, and differences in percentage points, unless a metric names its unit: mean ± sample standard "
        "deviation (number of trials). A trial is one process with one seed, and every trial's value is listed. A "
        "figure opens the card of its trials: seeds, hashes, code, versions, device, hours.",
    ),
    (
        "Intervals and tests",
        "95 % intervals are Student's t; below three trials there is neither an interval nor a test. Differences are "
        "paired: weights minus baseline for the same seed, over the seeds that both have. p: two-sided paired t test, "
        "whatever the data; sign flips: the exact permutation test, which does not assume a normal distribution and "
        "cannot go below 2 / 2ⁿ (0.0625 with five pairs). r: correlation over the seeds; efficiency: how many unpaired "
        "trials of each side one pair is worth; below 1, pairing did not pay.",
    ),
    (
        "Seeds and images",
        "The interval for new test images besides new seeds, by 200 draws of the images with replacement, the "
        "same for all trials; of the main metric, where the images' outcomes are beside the records. It is never "
        "narrower than that for seeds alone. There Holm's p, the verdict, equivalence, bold and simultaneous intervals "
        "are for new images too, since a difference that the images alone can explain is none. The other interval, p "
        "of the t test and of sign flips, the smallest detectable difference and the number of trials are for new "
        "seeds on these very images, and without outcomes everything is. p, images too: of the interval for both; "
        "Holm's p is made from the larger of the two. AMI and accuracy of clusters are not resampled, and have no "
        "such interval. Images alone: one trial, or a figure on which the seed has no influence.",
    ),
    (
        "Pre-training runs",
        "Runs of one method are weights named METHOD@RUN. Between runs and between seeds: standard deviations "
        "of single values, by analysis of variance with seeds nested in runs; images: standard error of the mean. The "
        "interval is for new runs, seeds and, where outcomes are known, images. Differences of methods are of such "
        "means, with runs as independent samples, and their verdict is about the methods. Everything else holds for "
        "the checkpoints themselves.",
    ),
    (
        "Many comparisons",
        "The main metrics of one suite on protocol are a family, with 5 % of error in all. Holm: p over all of the "
        "family's comparisons with baselines, which the verdict follows. The overview's plot has simultaneous "
        "intervals (Bonferroni), which together hold all true differences in 95 % of experiments; Holm's test may "
        "decide where one of them just touches 0. Other metrics and what is off protocol are in no family: their p is "
        "of one comparison alone, and they have no verdict.",
    ),
    (
        "Bold",
        "Main metric only: better than every other row on protocol, each at 5 % by the paired t test, for new images "
        "too where their outcomes are known. It needs no correction over the rows; it is corrected (Holm) over the "
        "suite's benchmarks. Rows with fewer than three trials are left out of the claim, and a row with failed trials "
        "is never bold. Where nothing is bold, these trials do not show which is best.",
    ),
    (
        "Smallest detectable",
        "The true difference that a test over this many pairs, with the spread seen here, would find in 80 % of cases "
        "(two-sided, 5 %; in a family of m comparisons, 5 % / m). A smaller true difference is likely to be missed. "
        "More trials: how many would have to be added to find the difference in the column's title. With --margin, "
        "equivalent: two one-sided tests show the difference to be smaller than the margin.",
    ),
    (
        "Failed and off protocol",
        "Failed trials are counted but excluded from averages: (3 of 4) marks the mean of survivors, which is "
        "undecided where it is ahead, whatever its p. Off-protocol trials are averaged and compared only with trials "
        "that ran the same procedure.",
    ),
    ("Checking", "tools/report.sh --verify report.json recomputes every figure from the records."),
)


@dataclass(frozen=True)
class Section:
    """One benchmark. ``anchor``: id in the page; ``overlaps``: test images that the pre-training has seen."""

    anchor: str
    heading: str
    title: str
    notes: tuple[str, ...]
    overlaps: tuple[str, ...]
    plot: Plot | None
    plot_caption: str
    results: Table
    differences: Table | None
    trials: Table
    strip: Strip | None


@dataclass(frozen=True)
class Document:
    title: str
    lead: tuple[str, ...]
    warnings: tuple[str, ...]
    headline: str
    claims_note: str
    claims: tuple[str, ...]
    matrices: tuple[Table, ...]
    overviews: tuple[Plot, ...]
    overview_table: Table | None
    rankings: tuple[Table, ...]
    methods: tuple[Table, ...]
    sections: tuple[Section, ...]
    paper: tuple[Table, ...]
    pretraining: TrainingCurves | None
    ablations: tuple[AblationSection, ...]
    reading: tuple[tuple[str, str], ...]
    provenance: tuple[Table, ...]
    cards: tuple[Card, ...]

    @property
    def plots(self) -> list[Plot]:
        found = [*self.overviews, *(section.plot for section in self.sections)]
        found += [self.pretraining.plot if self.pretraining else None]
        found += [plot for each in self.ablations for plot in (each.plot, each.course)]
        return [plot for plot in found if plot]


def build_document(report: Report, strips: Sequence[Strip | None] = ()) -> Document:
    """Everything that the pages show, in their order. Without records, that is the evidence alone.

    Args:
        strips: one per benchmark (:func:`~transfer.report.lay_out.strips.build_strips`); without any, no picture.
    """
    sections = [
        Section(
            anchor=fmt.slug(result.key.suite, result.key.benchmark),
            heading=tables.benchmark_label(report, result),
            title=result.title,
            notes=(*notes(result), *outlier_notes(result)),
            overlaps=tuple(map(near_duplicates_sentence, report.evidence.near_duplicates_of(result.key.benchmark))),
            plot=trial_plot(report, result),
            plot_caption=trial_caption(result),
            results=tables.results_table(result),
            differences=tables.difference_table(result, report.wanted),
            trials=tables.trials_table(result),
            strip=strip,
        )
        for result, strip in zip(report.benchmarks, strips or [None] * len(report.benchmarks), strict=True)
    ]
    pretraining, ablations, ablation_cards = None, [], []
    if report.evidence.pretraining:
        from transfer.report.lay_out.curves import training_curves

        pretraining = training_curves(report.evidence.pretraining)
    if report.evidence.ablations:
        from transfer.report.lay_out.ablations import ablation_section, setting_cards

        ablations = [ablation_section(each) for each in report.evidence.ablations]
        ablation_cards = [card for each in report.evidence.ablations for card in setting_cards(each)]
    return Document(
        title=TITLE if report.benchmarks else EVIDENCE_TITLE,
        lead=_lead(report),
        warnings=_warnings(report),
        headline=headline(report),
        claims_note=CLAIMS_NOTE,
        claims=tuple(claim(report, result) for result in report.benchmarks),
        matrices=matrices(report),
        overviews=overview_plots(report),
        overview_table=tables.overview_table(report) if report.benchmarks else None,
        methods=methods_tables(report),
        rankings=ranking_tables(report),
        sections=tuple(sections),
        paper=paper_tables(report),
        pretraining=pretraining,
        ablations=tuple(ablations),
        reading=READING if report.benchmarks else (),
        provenance=provenance_tables(report),
        cards=(*cards(report), *ablation_cards),
    )


def _lead(report: Report) -> tuple[str, ...]:
    if not report.benchmarks:
        evidence = report.evidence
        counts = {
            "ablation": evidence.ablations,
            "pre-training run": evidence.pretraining,
            "near-duplicate check": evidence.near_duplicates,
        }
        return tuple(fmt.plural(len(found), noun) for noun, found in counts.items() if found)
    done = sum(len(row.done) for row in report.rows)
    hours = sum(record.device_hours for record in report.records)
    weights = {row.label for row in report.rows}
    baselines = sorted({row.label for row in report.rows if row.is_baseline})
    return (
        fmt.plural(len(report.benchmarks), "benchmark"),
        fmt.plural(len(weights), "initialisation"),
        fmt.plural(done, "trial"),
        f"{fmt.hours(hours)} device-hours",
        f"baseline: {', '.join(baselines)}" if baselines else "no baseline",
        ledger_fact(report),
        *([] if methods(report) else [ONE_RUN]),
    )


def _warnings(report: Report) -> tuple[str, ...]:
    found = []
    failed = sum(len(row.failed) for row in report.rows)
    off = sum(len(row.done) for row in report.rows if not row.procedure.on_protocol)
    if failed:
        found.append(f"{fmt.plural(failed, 'trial')} failed: excluded from averages, reasons below.")
    if off:
        found.append(f"{fmt.plural(off, 'trial')} ran off protocol: marked wherever shown.")
    if few := sum(0 < len(row.done) < MIN_TRIALS for row in report.rows):
        found.append(
            f"{few} of {fmt.plural(len(report.rows), 'row')} {'has' if few == 1 else 'have'} fewer than {MIN_TRIALS} "
            "trials: no interval and no test there."
        )
    if again := sum(bool(scored_again(record)) for record in report.records):
        found.append(f"{fmt.plural(again, 'trial')} scored test images more than once: named below.")
    found += [*seal_warnings(report), *ledger_warnings(report)]
    for each in report.evidence.preflights:
        if failures := [check.name for check in each.checks if check.status == "fail"]:
            found.append(f"The preflight of {each.device} failed: {', '.join(failures)}.")
    found += [f"Edited after it was written: {line}." for line in report.evidence.edited()]
    if report.benchmarks and not any(row.is_baseline for row in report.rows):
        found.append("There is no baseline, so nothing is compared: choose one with --baseline NAME.")
    return tuple(found)
