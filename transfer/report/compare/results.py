"""From records to figures: everything that a report says, before anything is formatted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.errors import UserError, unknown_name
from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.report.compare import procedures as protocol
from transfer.report.compare.comparisons import (
    WANTED_DIFFERENCE,
    compare_with_baselines,
    correct_over_the_overview,
    supported_best,
)
from transfer.report.compare.procedures import Procedure
from transfer.report.compare.statistics import PairedDifference, Summary, summarize
from transfer.report.read import trials as collect
from transfer.report.read.evidence import Evidence
from transfer.report.read.published import PublishedTable, published_table
from transfer.report.read.trials import BenchmarkKey, Weights, weights_of

BASELINE_PREFIX = "random"


@dataclass(frozen=True)
class MetricInfo:
    name: str
    direction: str  # "higher" or "lower" is better


@dataclass(frozen=True)
class Row:
    """The trials of one initialisation that ran one procedure.

    Attributes:
        label: the weights' name, with the start of their hash where two files share the name.
        done, failed: by seed.
        metrics: metric name to its summary over the done trials; n = 0 where none reported it.
        inflated: the same for what the best choice on the test images would have given: a reference, never a result.
        is_baseline: others are compared with this row.
        baseline: label of the row that this one is compared with; None if there is none of the same procedure.
        differences: metric name to this row minus the baseline.
    """

    weights: Weights
    label: str
    arch: str
    procedure: Procedure
    done: tuple[TrialRecord, ...]
    failed: tuple[TrialRecord, ...]
    metrics: dict[str, Summary]
    inflated: dict[str, Summary] = field(default_factory=dict)
    is_baseline: bool = False
    baseline: str | None = None
    differences: dict[str, PairedDifference] = field(default_factory=dict)

    def values(self, metric: str) -> dict[int, float]:
        """Seed to value, for the done trials that reported the metric."""
        return {trial.seed: trial.metrics[metric].value for trial in self.done if metric in trial.metrics}

    def inflated_values(self, metric: str) -> dict[int, float]:
        """Seed to the inflated reference, for the done trials that have one."""
        return {trial.seed: trial.inflated[metric] for trial in self.done if metric in trial.inflated}


@dataclass(frozen=True)
class Floor:
    """A figure that needs no training, e.g. predicting background everywhere; (lowest, highest) over the trials."""

    name: str
    ranges: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class BenchmarkResult:
    """One benchmark of one suite.

    Attributes:
        rows: baseline first, off protocol last.
        best: metric to the label of the row that is better than every other one on protocol, where tests show it
            (:func:`~transfer.report.compare.comparisons.supported_best`).
    """

    key: BenchmarkKey
    title: str
    main_metric: str
    metrics: tuple[MetricInfo, ...]
    rows: tuple[Row, ...]
    floors: tuple[Floor, ...]
    published: PublishedTable | None
    best: dict[str, str]

    @property
    def records(self) -> list[TrialRecord]:
        return [record for row in self.rows for record in (*row.done, *row.failed)]


@dataclass(frozen=True)
class Report:
    """``baseline``: as it was asked for; ``wanted``: difference that is to be shown, in percentage points;
    ``evidence``: what stands beside the records.
    """

    benchmarks: tuple[BenchmarkResult, ...]
    baseline: str | None = None
    wanted: float = WANTED_DIFFERENCE
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def records(self) -> list[TrialRecord]:
        return [record for benchmark in self.benchmarks for record in benchmark.records]

    @property
    def rows(self) -> list[Row]:
        return [row for benchmark in self.benchmarks for row in benchmark.rows]


def build_report(
    records: Sequence[TrialRecord],
    *,
    baseline: str | None = None,
    wanted: float = WANTED_DIFFERENCE,
    evidence: Evidence | None = None,
) -> Report:
    """Groups, summarises and compares.

    Args:
        baseline: name (or label) of the weights that the others are compared with; by default those whose name
            starts with "random".
        wanted: the difference to say the number of trials for, in percentage points.
        evidence: what stands beside the records (:func:`~transfer.report.read.evidence.find_evidence`).

    Raises:
        UserError: no weights of that name, or several; a metric whose direction changes between trials; a wanted
            difference that is not above 0.
    """
    if not wanted > 0:
        raise UserError(f"--difference is {wanted}: a difference above 0, in percentage points, is needed")
    labels = _labels(records)
    baselines = _baselines(labels, baseline)
    results = [
        _benchmark_result(key, trials, labels=labels, baselines=baselines, wanted=wanted)
        for key, trials in collect.group(records).items()
    ]
    benchmarks = tuple(correct_over_the_overview(results))
    return Report(benchmarks, baseline=baseline, wanted=wanted, evidence=evidence or Evidence())


def _labels(records: Iterable[TrialRecord]) -> dict[Weights, str]:
    weights = sorted({weights_of(record) for record in records})
    files = Counter(each.name for each in weights)
    return {each: each.name if files[each.name] == 1 else f"{each.name} ({each.sha256[:8]})" for each in weights}


def _baselines(labels: dict[Weights, str], wanted: str | None) -> set[Weights]:
    if wanted is None:
        return {weights for weights in labels if weights.name.startswith(BASELINE_PREFIX)}
    found = {weights for weights, label in labels.items() if wanted in (weights.name, label)}
    if not found:
        raise unknown_name("baseline", wanted, labels.values())
    if len(found) > 1:
        choices = ", ".join(repr(labels[weights]) for weights in sorted(found))
        raise UserError(f"--baseline {wanted} names several weights: choose one of {choices}")
    return found


def _benchmark_result(
    key: BenchmarkKey,
    records: list[TrialRecord],
    *,
    labels: dict[Weights, str],
    baselines: set[Weights],
    wanted: float,
) -> BenchmarkResult:
    benchmark = BENCHMARKS.get(key.benchmark)
    metrics = _metrics(records)
    main_metric = benchmark.main_metric if benchmark else (metrics[0].name if metrics else "")
    rows = _rows(records, metrics, labels)
    compared = compare_with_baselines(rows, metrics, baselines, wanted)
    compared.sort(key=lambda row: (not row.procedure.on_protocol, not row.is_baseline, row.label, row.procedure))
    return BenchmarkResult(
        key=key,
        title=benchmark.title if benchmark else key.benchmark,
        main_metric=main_metric,
        metrics=metrics,
        rows=tuple(compared),
        floors=_floors(rows),
        published=published_table(key.benchmark),
        best={metric.name: best.label for metric in metrics if (best := supported_best(rows, metric))},
    )


def _metrics(records: Iterable[TrialRecord]) -> tuple[MetricInfo, ...]:
    directions: dict[str, str] = {}
    for record in records:
        for name, metric in record.metrics.items():
            if directions.setdefault(name, metric.direction) != metric.direction:
                raise UserError(
                    f"{record.suite}/{record.benchmark}: {name} is better higher in some records and lower in "
                    "others: report on them apart"
                )
    return tuple(MetricInfo(name, direction) for name, direction in directions.items())


def _rows(records: list[TrialRecord], metrics: tuple[MetricInfo, ...], labels: dict[Weights, str]) -> list[Row]:
    done: dict[tuple[Weights, Procedure], list[TrialRecord]] = {}
    procedure_of = protocol.procedures(records)
    for index, procedure in sorted(procedure_of.items(), key=lambda item: item[1]):
        done.setdefault((weights_of(records[index]), procedure), []).append(records[index])
    failed: dict[tuple[Weights, Procedure], list[TrialRecord]] = {}
    for record in records:
        if record.status == "failed":
            failed.setdefault(_home_of_failed(record, done), []).append(record)
    return [
        _row(
            weights,
            procedure,
            done.get((weights, procedure), []),
            failed.get((weights, procedure), []),
            metrics,
            labels,
        )
        for weights, procedure in dict.fromkeys([*done, *failed])
    ]


def _home_of_failed(
    record: TrialRecord, done: dict[tuple[Weights, Procedure], list[TrialRecord]]
) -> tuple[Weights, Procedure]:
    """A trial that failed before its config was resolved does not say what it ran: it is shown with the trials of
    the same weights, those on protocol first.
    """
    weights = weights_of(record)
    homes = [key for key in done if key[0] == weights]
    unknown = Procedure(deviations=(), protocol_version=record.protocol_version, config_sha256="")
    return min(homes, key=lambda key: key[1], default=(weights, unknown))


def _row(
    weights: Weights,
    procedure: Procedure,
    done: list[TrialRecord],
    failed: list[TrialRecord],
    metrics: tuple[MetricInfo, ...],
    labels: dict[Weights, str],
) -> Row:
    row = Row(
        weights=weights,
        label=labels[weights],
        arch=(done or failed)[0].weights.arch,
        procedure=procedure,
        done=tuple(sorted(done, key=lambda record: record.seed)),
        failed=tuple(sorted(failed, key=lambda record: record.seed)),
        metrics={},
    )
    for metric in metrics:
        row.metrics[metric.name] = summarize(list(row.values(metric.name).values()))
        if inflated := row.inflated_values(metric.name):
            row.inflated[metric.name] = summarize(list(inflated.values()))
    return row


def _floors(rows: list[Row]) -> tuple[Floor, ...]:
    on_protocol = [row for row in rows if row.procedure.on_protocol and row.done]
    values: dict[str, dict[str, list[float]]] = {}
    for row in on_protocol or rows:
        for trial in row.done:
            for name, figures in trial.references.items():
                for metric, value in figures.items():
                    values.setdefault(name, {}).setdefault(metric, []).append(value)
    return tuple(
        Floor(name, {metric: (min(seen), max(seen)) for metric, seen in figures.items()})
        for name, figures in sorted(values.items())
    )
