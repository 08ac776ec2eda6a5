"""One sentence per benchmark: which weights lead, by how much, and what is not decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transfer.report.compare.model import BenchmarkResult, Report
from transfer.report.compare.outliers import outlier
from transfer.report.compare.statistics import MIN_TRIALS
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import benchmark_label, main_metric_label

MOST_NAMES = 4
CLAIMS_NOTE = (
    "In brackets: 95 % intervals, simultaneous over the main metrics of a suite on protocol. Holm's test decides; it "
    "can find a difference whose interval just reaches 0."
)


def headline(report: Report) -> str:
    """Who is shown to be best on how many benchmarks, and where that is open; empty for a single benchmark.

    E.g. ``"Shown to be better than all others: twist on 9 of 11 benchmarks. Undecided: demo-seg, demo-coco."``
    """
    if len(report.benchmarks) < 2:
        return ""
    best = Counter(result.leader.label for result in report.benchmarks if result.leader and result.leader.is_best)
    if not best:
        return f"On none of {len(report.benchmarks)} benchmarks is one shown to be better than all others."
    lead = ", ".join(f"{label} on {count}" for label, count in best.most_common())
    undecided = [
        benchmark_label(report, each) for each in report.benchmarks if not (each.leader and each.leader.is_best)
    ]
    rest = f" Undecided: {_names(undecided)}." if undecided else ""
    return f"Shown to be better than all others: {lead} of {len(report.benchmarks)} benchmarks.{rest}"


def claim(report: Report, result: BenchmarkResult) -> str:
    """E.g. ``"demo-seg, mIoU: twist is better than moco by 1.50 [0.90, 2.10] and than all 3 others."``

    Intervals are simultaneous over the suite's benchmarks.
    """
    where = f"{benchmark_label(report, result)}, {main_metric_label(result)}: "
    leader = result.leader
    if leader is None:
        return f"{where}undecided: no two weights on protocol with {MIN_TRIALS} trials each, one without a failure."
    sign = result.sign(result.main_metric)
    mean, bounds = leader.lead.summary.mean, leader.lead.simultaneous
    lead = fmt.NOTHING if mean is None else fmt.number(sign * mean)
    if bounds:
        low, high = sorted((sign * bounds.low, sign * bounds.high))
        lead += f" [{fmt.number(low)}, {fmt.number(high)}]"
    if leader.is_best:
        others = len(leader.behind) - 1
        names = {1: "the other one", 2: "both others"}
        rest = f" and than {names.get(others, f'all {others} others')}" if others else ""
        sentence = f"{leader.label} is better than {leader.runner_up} by {lead}{rest}"
    elif mean is not None and sign * mean < 0:  # its survivors may be the lucky ones
        sentence = f"undecided, {leader.runner_up} is ahead, but trials of it failed; next is {leader.label}"
    else:
        sentence = f"undecided, {leader.label} is ahead of {leader.runner_up} by {lead}"
    if leader.behind and not leader.is_best:
        sentence += f"; shown to be behind: {_names(leader.behind)}"
    if not leader.is_best and (undecided := [label for label in leader.undecided if label != leader.runner_up]):
        sentence += f"; undecided too: {_names(undecided)}"
    if leader.left_out:
        sentence += f". Not in this claim, with fewer than {MIN_TRIALS} trials: {_names(leader.left_out)}"
    return f"{where}{sentence}."


def outlier_notes(result: BenchmarkResult) -> list[str]:
    """A sentence for each row of which one trial's main metric is far from the others'."""
    found = []
    for row in result.rows:
        values = row.values(result.main_metric)
        if (seed := outlier(values)) is not None:
            found.append(
                f"{row.label}, seed {seed}: {fmt.number(values[seed])} is far from the other {len(values) - 1} trials "
                "(Grubbs' test, 1 %). It counts as they do: look at its log before trusting the mean."
            )
    return found


def _names(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:MOST_NAMES])
    return f"{shown} and {len(labels) - MOST_NAMES} more" if len(labels) > MOST_NAMES else shown
