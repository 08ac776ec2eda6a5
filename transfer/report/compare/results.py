"""From records to the report: grouped, summarised and compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.record_bounds import metric_range
from transfer.report.compare.families import compare, judge
from transfer.report.compare.images import ReadOutcomes, interval_of, resample
from transfer.report.compare.model import (
    WANTED_DIFFERENCE,
    BenchmarkKey,
    BenchmarkResult,
    Floor,
    MetricInfo,
    Procedure,
    Report,
    ResultRow,
    Weights,
)
from transfer.report.compare.own_config import undeclared
from transfer.report.compare.statistics import summarize
from transfer.report.read.evidence import Evidence
from transfer.report.read.published import published_table
from transfer.trial import RANDOM_PREFIX
from twist_common.errors import UserError, unknown_name


def build_report(
    records: Sequence[TrialRecord],
    *,
    baseline: str | None = None,
    wanted: float = WANTED_DIFFERENCE,
    margin: float | None = None,
    declared: Sequence[str] = (),
    evidence: Evidence | None = None,
    versions: Mapping[str, int] | None = None,
    outcomes: ReadOutcomes = lambda record: None,
) -> Report:
    """Groups, summarises and compares.

    Args:
        baseline: name (or label) of the weights that the others are compared with; by default those drawn at random,
            or without any, of two weights the first by name.
        wanted: the difference to give the number of trials for, in percentage points.
        margin: what counts as no difference, in percentage points; None for no test of equivalence.
        declared: which weights are which published method, ``"WEIGHTS=METHOD"``
            (:func:`~transfer.report.compare.reproduction.declared_methods`).
        evidence: what lies beside the records (:func:`~transfer.report.read.evidence.find_evidence`).
        versions: benchmark to the protocol version that counts as current; by default the table's.
        outcomes: reads the outcomes of a trial's test images, where there are some.

    Raises:
        UserError: no weights or method of that name, or several; a metric whose direction changes between trials; a
            wanted difference or a margin that is not above 0.
    """
    for option, value in (("--difference", wanted), ("--margin", margin)):
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{option} is {value}: a number above 0, in percentage points, is needed")
    weights = sorted({_weights_of(record) for record in records})
    files = Counter(each.name for each in weights)
    labels = {each: each.name if files[each.name] == 1 else f"{each.name} ({each.sha256[:8]})" for each in weights}
    drawn = {_weights_of(record) for record in records if record.weights.source.startswith(RANDOM_PREFIX)}
    baselines = _baselines(labels, baseline, drawn)
    results = []
    for key, trials in group(records).items():
        metrics = _metrics(trials)
        benchmark, names = BENCHMARKS.get(key.benchmark), [metric.name for metric in metrics]
        main = benchmark.main_metric if benchmark else ""
        main = main if main in names or not names else names[0]
        rows = _rows(trials, metrics, labels, (versions or {}).get(key.benchmark))
        rows = [with_outcomes(row, main, outcomes) for row in rows]
        compared = compare_with_baselines(rows, metrics, baselines, main)
        compared.sort(key=lambda row: (not row.procedure.on_protocol, not row.is_baseline, row.label, row.procedure))
        results.append(
            BenchmarkResult(
                key=key,
                title=benchmark.title if benchmark else key.benchmark,
                main_metric=main,
                metrics=metrics,
                rows=tuple(compared),
                floors=_floors(rows),
                published=published_table(key.benchmark),
            )
        )
    benchmarks = tuple(judge(results, wanted, margin))
    reproduced = {}
    if declared:
        from transfer.report.compare.reproduction import declared_methods

        reproduced = declared_methods(declared, labels.values(), [labels[each] for each in baselines])
    return Report(
        benchmarks,
        baseline=baseline,
        wanted=wanted,
        margin=margin,
        declared=tuple(declared),
        reproduced=reproduced,
        evidence=evidence or Evidence(),
    )


def group(records: Iterable[TrialRecord]) -> dict[BenchmarkKey, list[TrialRecord]]:
    """Suites by name; within each, benchmarks in the order of the table of benchmarks, unknown ones last."""
    groups: dict[BenchmarkKey, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(BenchmarkKey(record.suite, record.benchmark), []).append(record)
    order = {name: index for index, name in enumerate(BENCHMARKS)}
    keys = sorted(groups, key=lambda key: (key.suite, order.get(key.benchmark, len(order)), key.benchmark))
    return {key: groups[key] for key in keys}


def _weights_of(record: TrialRecord) -> Weights:
    return Weights(name=record.weights.name, sha256=record.weights.sha256)


def _baselines(labels: dict[Weights, str], wanted: str | None, drawn: set[Weights]) -> set[Weights]:
    if wanted is None:
        return drawn if drawn or len(labels) != 2 else {min(labels)}
    found = {weights for weights, label in labels.items() if wanted in (weights.name, label)}
    if not found:
        raise unknown_name("baseline", wanted, labels.values())
    if len(found) > 1:
        choices = ", ".join(repr(labels[weights]) for weights in sorted(found))
        raise UserError(f"--baseline {wanted} names several weights: choose one of {choices}")
    return found


def _metrics(records: Iterable[TrialRecord]) -> tuple[MetricInfo, ...]:
    directions: dict[str, str] = {}
    for record in records:
        for name, metric in record.metrics.items():
            if directions.setdefault(name, metric.direction) != metric.direction:
                raise UserError(
                    f"{record.suite}/{record.benchmark}: {name} is better higher in some records and lower in "
                    "others: report on them separately"
                )
    return tuple(MetricInfo(name, direction) for name, direction in directions.items())


def procedures(records: Sequence[TrialRecord], version: int | None = None) -> dict[int, Procedure]:
    """The procedure of each done trial of one benchmark, by index in ``records``.

    The protocol is ``version`` without differences; by default the benchmark's current one, or for a benchmark that is
    not in the table the newest seen. Trials that declare no difference and still resolved to different configs are
    judged by :mod:`~transfer.report.compare.own_config`.
    """
    done = {index: record for index, record in enumerate(records) if record.status == "done"}
    if not done:
        return {}
    if version is None:
        benchmark = BENCHMARKS.get(next(iter(done.values())).benchmark)
        version = benchmark.protocol_version if benchmark else max(each.protocol_version for each in done.values())
    declared = {}
    for index, record in done.items():
        declared[index] = list(record.protocol_difference)
        if record.norm_batch is None and "batch norm" in record.batch:  # from before this was a difference
            declared[index].append(record.batch)
        if record.protocol_version != version:
            declared[index].insert(0, f"protocol version {record.protocol_version}, current is {version}")
    for index, line in _other_norm_batches(done, declared).items():
        declared[index].append(line)
    others = undeclared([done[index] for index, difference in declared.items() if not difference], version)
    # Trials on protocol are one procedure, on whatever machine: it goes by the first of their configs.
    own = min((sha256 for sha256, difference in others.items() if not difference), default="")
    found = {}
    for index, record in done.items():
        deviations = tuple(declared[index]) or others[record.config_sha256]
        found[index] = Procedure(deviations, record.protocol_version, record.config_sha256 if deviations else own)
    return found


def _other_norm_batches(done: Mapping[int, TrialRecord], declared: Mapping[int, Sequence[str]]) -> dict[int, str]:
    """A deviation for trials that declare the same ones as others, but had batch norm over other numbers of images.

    On protocol it is over all of the batch, so those with the most are left there. A network without batch norms, and a
    record from before it was written down, goes with either.
    """
    alike: dict[tuple[str, ...], dict[int, int]] = {}
    for index, record in done.items():
        if record.norm_batch is not None:
            alike.setdefault(tuple(declared[index]), {})[index] = record.norm_batch
    found: dict[int, str] = {}
    for deviations, sizes in alike.items():
        most = max(sizes.values())
        if most > min(sizes.values()):
            others = sizes if deviations else {index: size for index, size in sizes.items() if size < most}
            found |= {index: f"batch norm over {size} images" for index, size in others.items()}
    return found


def _rows(
    records: list[TrialRecord], metrics: tuple[MetricInfo, ...], labels: dict[Weights, str], version: int | None
) -> list[ResultRow]:
    """One row for each initialisation and procedure.

    A trial that failed before its config was resolved does not say what it ran: it is shown with the trials of the
    same weights, preferably those on protocol.
    """
    done: dict[tuple[Weights, Procedure], list[TrialRecord]] = {}
    for index, procedure in sorted(procedures(records, version).items(), key=lambda item: item[1]):
        done.setdefault((_weights_of(records[index]), procedure), []).append(records[index])
    failed: dict[tuple[Weights, Procedure], list[TrialRecord]] = {}
    for record in (record for record in records if record.status == "failed"):
        weights = _weights_of(record)
        unknown = Procedure(deviations=(), protocol_version=record.protocol_version, config_sha256="")
        homes = [key for key in done if key[0] == weights]
        failed.setdefault(min(homes, key=lambda key: key[1], default=(weights, unknown)), []).append(record)
    rows = []
    for weights, procedure in dict.fromkeys([*done, *failed]):
        trials, lost = done.get((weights, procedure), []), failed.get((weights, procedure), [])
        by_seed = sorted(trials, key=lambda record: record.seed)
        names = [metric.name for metric in metrics]
        values = {name: [trial.metrics[name].value for trial in by_seed if name in trial.metrics] for name in names}
        inflated = {name: [trial.inflated[name] for trial in by_seed if name in trial.inflated] for name in names}
        summaries = {name: summarize(figures).within(*metric_range(name)) for name, figures in values.items()}
        # Of one metric alone, equal values may be chance: few test images, or nothing found in any trial.
        deterministic = all(each.identical for each in summaries.values() if each.n) and len(trials) > 1
        if deterministic:
            summaries = {name: each.counted_once() for name, each in summaries.items()}
        rows.append(
            ResultRow(
                weights=weights,
                label=labels[weights],
                arch=(trials or lost)[0].weights.arch,
                procedure=procedure,
                done=tuple(by_seed),
                failed=tuple(sorted(lost, key=lambda record: record.seed)),
                metrics=summaries,
                inflated={
                    name: summarize(figures[:1] if deterministic else figures).within(*metric_range(name))
                    for name, figures in inflated.items()
                    if figures
                },
                deterministic=deterministic,
            )
        )
    return rows


def _floors(rows: list[ResultRow]) -> tuple[Floor, ...]:
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


def with_outcomes(row: ResultRow, main: str, outcomes: ReadOutcomes) -> ResultRow:
    """The row with the main metric over other draws of the test images, where the outcomes of its images are known."""
    counted = row.done[:1] if row.deterministic else row.done
    found = {trial.seed: resample(each, main) for trial in counted if (each := outcomes(trial)) is not None}
    resampled = {seed: each for seed, each in found.items() if each is not None}
    values = {trial.seed: trial.metrics[main].value for trial in counted if main in trial.metrics}
    interval = interval_of(values, resampled)
    if row.deterministic:  # all its trials are the first one
        resampled = {trial.seed: each for trial in row.done for each in resampled.values()}
    return replace(row, resampled=resampled, with_images=interval and interval.within(*metric_range(main)))


def compare_with_baselines(
    rows: Sequence[ResultRow], metrics: Sequence[MetricInfo], baselines: set[Weights], main: str
) -> list[ResultRow]:
    """The rows with their differences to the baseline; ``main`` names the main metric."""
    compared = []
    baseline_rows = [row for row in rows if row.weights in baselines]
    for row in rows:
        if row.weights in baselines:
            compared.append(replace(row, is_baseline=True))
        elif baseline := _baseline_of(row, baseline_rows):
            differences = {
                metric.name: compare(row, baseline, metric.name, is_main=metric.name == main) for metric in metrics
            }
            compared.append(replace(row, baseline=baseline.label, differences=differences))
        else:
            compared.append(row)
    return compared


def _baseline_of(row: ResultRow, baselines: Sequence[ResultRow]) -> ResultRow | None:
    """The baseline that ran the same procedure; of several, the one with the same architecture."""
    candidates = [each for each in baselines if each.procedure == row.procedure]
    same_arch = [each for each in candidates if each.arch == row.arch]
    return next((choice[0] for choice in (same_arch, candidates) if len(choice) == 1), None)
