"""Initialisations over the benchmarks of one suite: main metrics on protocol, and ranks among them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from transfer.report.compare.model import BenchmarkResult, Report, ResultRow


@dataclass(frozen=True)
class Standing:
    """One initialisation over the benchmarks of a suite.

    Attributes:
        rows: by benchmark; those on protocol with a figure of the main metric.
        ranks: by benchmark, of the mean; 1 is best, equal means share the average of their ranks.
    """

    label: str
    rows: dict[str, ResultRow]
    ranks: dict[str, float]

    @property
    def average_rank(self) -> float:
        return fmean(self.ranks.values())


def suite_results(report: Report, suite: str) -> list[BenchmarkResult]:
    return [result for result in report.benchmarks if result.key.suite == suite]


def standings(report: Report, suite: str) -> list[Standing]:
    """Best average rank first; what was measured on fewer benchmarks comes after what was on more."""
    from scipy.stats import rankdata

    rows: dict[str, dict[str, ResultRow]] = {}
    ranks: dict[str, dict[str, float]] = {}
    for result in suite_results(report, suite):
        metric, benchmark = result.main_metric, result.key.benchmark
        measured = [row for row in result.on_protocol if row.values(metric)]
        places = rankdata([-result.sign(metric) * (row.metrics[metric].mean or 0.0) for row in measured])
        for row, place in zip(measured, places, strict=True):
            rows.setdefault(row.label, {})[benchmark] = row
            ranks.setdefault(row.label, {})[benchmark] = float(place)
    found = [Standing(label, rows[label], ranks[label]) for label in rows]
    return sorted(found, key=lambda each: (-len(each.ranks), each.average_rank, each.label))
