"""The one rule for many comparisons: main metrics of one suite on protocol are a family, with 5 % of error in all.

Two kinds of claims are made of it, each at 5 % over the suite. *Better than the baseline*: Holm's correction over all
comparisons with baselines; simultaneous intervals, smallest detectable differences and numbers of trials are for as
many comparisons (Bonferroni). *Best of its benchmark*: better than every other row is an intersection of claims, which
holds at 5 % where each of them does (Berger, Technometrics 24, 1982): the largest p counts, corrected over benchmarks.
Where the outcomes of the test images are known, claims are for new images too: what images alone can explain is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transfer.record_bounds import metric_range
from transfer.report.compare.images import interval_of_difference
from transfer.report.compare.model import BenchmarkResult, Leader, ResultRow
from transfer.report.compare.power import ALPHA, additional_trials, smallest_detectable_difference
from transfer.report.compare.statistics import (
    MIN_TRIALS,
    ImagesInterval,
    Interval,
    PairedDifference,
    SampleSummary,
    Verdict,
    equivalence_p_value,
    holm,
    images_p_value,
    mean_interval,
    paired_difference,
    t_quantile,
)


def compare(row: ResultRow, other: ResultRow, metric: str, *, is_main: bool) -> PairedDifference:
    """Row minus other, by seed; over a single pair of two rows on which the seed has no influence.

    Args:
        is_main: whether it is the benchmark's main metric, whose figures over other test images are known.
    """
    ours, theirs = row.values(metric), other.values(metric)
    if row.deterministic and other.deterministic:
        first = sorted(ours.keys() & theirs.keys())[:1]
        ours, theirs = {seed: ours[seed] for seed in first}, {seed: theirs[seed] for seed in first}
    images = interval_of_difference(ours, theirs, row.resampled, other.resampled) if is_main else None
    difference, bounds = paired_difference(ours, theirs), difference_range(metric)
    has_test = images is not None and difference.p_value is not None
    return replace(
        difference,
        summary=difference.summary.within(*bounds),
        with_images=images and images.within(*bounds),
        p_images=images_p_value(difference.summary, images) if images and has_test else None,
    )


def difference_range(metric: str) -> tuple[float, float]:
    """Lowest and highest difference of two figures, in percentage points."""
    lowest, highest = metric_range(metric)
    return lowest - highest, highest - lowest


def judge(results: Sequence[BenchmarkResult], wanted: float, margin: float | None) -> list[BenchmarkResult]:
    """The results with what the rule says about every comparison and every benchmark.

    Args:
        wanted: the difference that ``more_trials`` is about, in percentage points.
        margin: what counts as no difference, in percentage points.
    """
    suites: dict[str, list[BenchmarkResult]] = {}
    for result in results:
        suites.setdefault(result.key.suite, []).append(result)
    return [judged for suite in suites.values() for judged in _with_leaders(_with_differences(suite, wanted, margin))]


def is_member(result: BenchmarkResult, row: ResultRow, metric: str) -> bool:
    """Whether a comparison is one of its suite's family."""
    return row.procedure.on_protocol and metric == result.main_metric


def _with_differences(suite: Sequence[BenchmarkResult], wanted: float, margin: float | None) -> list[BenchmarkResult]:
    tested = [
        difference
        for result in suite
        for row in result.rows
        for metric, difference in row.differences.items()
        if is_member(result, row, metric) and difference.p_value is not None
    ]
    size = len(tested)
    corrected = iter(holm([each.p_claim for each in tested]))
    equivalences = [equivalence_p_value(each.summary, margin, each.with_images) if margin else None for each in tested]
    equivalent = iter(holm(equivalences))

    def judged(result: BenchmarkResult, row: ResultRow, metric: str) -> PairedDifference:
        difference = row.differences[metric]
        member, summary = is_member(result, row, metric), difference.summary
        if difference.p_value is None:
            return replace(difference, verdict="undecided" if member else "")
        assert summary.sd
        alpha = ALPHA / size if member else ALPHA
        difference = replace(
            difference,
            smallest_detectable=smallest_detectable_difference(summary.sd, summary.n, alpha=alpha),
            more_trials=additional_trials(wanted, summary.sd, summary.n, alpha=alpha),
        )
        if not member:
            return difference
        p_holm, p_equivalence = next(corrected), next(equivalent)
        verdict = _verdict(result.sign(metric) * (summary.mean or 0.0), p_holm, p_equivalence)
        baseline = next(each for each in result.rows if each.label == row.baseline and each.procedure == row.procedure)
        verdict = without_survivors(verdict, has_failed=bool(row.failed), other_has_failed=bool(baseline.failed))
        return replace(
            difference,
            p_holm=p_holm,
            p_equivalence=p_equivalence,
            simultaneous=simultaneous_interval(summary, size, metric, difference.with_images),
            verdict=verdict,
        )

    return [
        replace(
            result,
            rows=tuple(
                replace(row, differences={metric: judged(result, row, metric) for metric in row.differences})
                for row in result.rows
            ),
        )
        for result in suite
    ]


def simultaneous_interval(
    differences: SampleSummary, size: int, metric: str, images: ImagesInterval | None = None
) -> Interval | None:
    """Of a mean difference in the metric, for ``size`` intervals that all hold in 95 % of experiments.

    None where there is no test.

    Args:
        images: where it is to hold for new test images too.
    """
    if differences.n < MIN_TRIALS or not differences.sd or differences.mean is None:
        return None
    whole = mean_interval(differences.mean, differences.sd, differences.n, 1 - ALPHA / size)
    if images and images.degrees:
        half = t_quantile(1 - ALPHA / size / 2, images.degrees) * images.se
        whole = Interval(min(whole.low, differences.mean - half), max(whole.high, differences.mean + half))
    return whole.within(*difference_range(metric))


def _verdict(gain: float, p_holm: float | None, p_equivalence: float | None) -> Verdict:
    if p_equivalence is not None and p_equivalence < ALPHA:
        return "equivalent"
    if p_holm is None or p_holm >= ALPHA:
        return "undecided"
    return "better" if gain > 0 else "worse"


def without_survivors(verdict: Verdict, *, has_failed: bool, other_has_failed: bool) -> Verdict:
    """The verdict, unless it is in favour of a side with failed trials, whose survivors may be the lucky ones.

    They show at most that they are behind all the same.
    """
    in_favour = (has_failed and verdict != "worse") or (other_has_failed and verdict != "better")
    return "undecided" if in_favour else verdict


def _with_leaders(suite: Sequence[BenchmarkResult]) -> list[BenchmarkResult]:
    """The results with their leaders; one claim for each benchmark that has one."""
    found = {result.key: _pairs_of_the_leader(result) for result in suite}
    count = sum(found[result.key] is not None for result in suite)
    largest = {key: _largest_p(pairs[1]) if pairs else None for key, pairs in found.items()}
    corrected = dict(zip(largest, holm(list(largest.values())), strict=True))
    judged = []
    for result in suite:
        pairs = found[result.key]
        if pairs is None:
            judged.append(result)
            continue
        row, leads = pairs
        tested = {label: lead.p_claim for label, (lead, _) in leads.items()}
        p_holm = corrected[result.key]
        is_best = p_holm is not None and p_holm < ALPHA
        level = ALPHA / count / len(leads)
        behind = [
            label
            for label, (lead, ahead) in leads.items()
            if is_best or (ahead and lead.p_claim is not None and lead.p_claim < level)
        ]
        runner_up = next(iter(leads))
        lead = leads[runner_up][0]
        bounds = simultaneous_interval(lead.summary, count, result.main_metric, lead.with_images)
        judged.append(
            replace(
                result,
                leader=Leader(
                    label=row.label,
                    p_value=largest[result.key],
                    p_holm=p_holm,
                    is_best=is_best,
                    runner_up=runner_up,
                    lead=replace(lead, simultaneous=bounds),
                    behind=tuple(behind),
                    undecided=tuple(label for label in tested if label not in behind),
                    left_out=tuple(
                        each.label for each in result.on_protocol if each is not row and each.label not in leads
                    ),
                ),
            )
        )
    return judged


def _pairs_of_the_leader(
    result: BenchmarkResult,
) -> tuple[ResultRow, dict[str, tuple[PairedDifference, bool]]] | None:
    """The leader, and by the labels of the others, best first: the lead, and whether it is one over common seeds.

    Rows of fewer than :data:`MIN_TRIALS` trials lead nothing and take the claim from nobody: they are left out. A row
    with failed trials never leads, since its survivors may be the lucky ones; yet a leader has to be better than it.
    """
    metric = result.main_metric
    sign = result.sign(metric)
    ranked = sorted(
        (row for row in result.on_protocol if len(row.values(metric)) >= MIN_TRIALS),
        key=lambda row: -sign * (row.metrics[metric].mean or 0.0),
    )
    leader = next((row for row in ranked if not row.failed), None)
    if leader is None or len(ranked) < 2:
        return None
    leads = {}
    for row in ranked:
        if row is not leader:
            lead = compare(leader, row, metric, is_main=True)
            leads[row.label] = lead, sign * (lead.summary.mean or 0.0) > 0
    return leader, leads


def _largest_p(leads: dict[str, tuple[PairedDifference, bool]]) -> float | None:
    """Of the claim that all leads are leads; None where one is none, or has no test."""
    p_values = [lead.p_claim if ahead else None for lead, ahead in leads.values()]
    tested = [p for p in p_values if p is not None]
    return max(tested) if len(tested) == len(p_values) else None
