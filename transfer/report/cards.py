"""Where a row's figures come from, on one card: each trial with its hashes, code, versions, device and cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transfer.record import TrialRecord
from transfer.report import format as fmt
from transfer.report.provenance import commit, max_abs_difference
from transfer.report.results import BenchmarkResult, Report, Row
from transfer.report.table import Column, Table, plain_table
from transfer.report.tables import benchmark_label, card_anchor, row_label
from transfer.report.verify import broken_seals

SEAL_BROKEN = "edited"
SEAL_MISSING = "no hash"


@dataclass(frozen=True)
class Card:
    """``anchor``: id in the page; ``facts``: name and value of what all trials of the row share."""

    anchor: str
    title: str
    facts: tuple[tuple[str, str], ...]
    trials: Table


def cards(report: Report) -> tuple[Card, ...]:
    """One card for each row of each benchmark."""
    return tuple(_card(report, result, row) for result in report.benchmarks for row in result.rows)


def _card(report: Report, result: BenchmarkResult, row: Row) -> Card:
    return Card(
        anchor=card_anchor(result, row),
        title=f"{benchmark_label(report, result)}: {row_label(row)}",
        facts=tuple(_facts(row)),
        trials=_trials(result, row),
    )


def _facts(row: Row) -> Iterable[tuple[str, str]]:
    records = (*row.done, *row.failed)
    yield "Weights", _shared(record.weights.source for record in records)
    yield "SHA-256", row.weights.sha256
    yield "Conversion's proof", _shared(map(_proof, row.done))
    yield (
        "Protocol",
        f"version {row.procedure.protocol_version}, "
        + ("on protocol" if not row.procedure.deviations else fmt.OFF_PROTOCOL),
    )
    yield "Differs from the protocol in", "; ".join(row.procedure.deviations) or "nothing"
    if batch := _shared(record.batch for record in records if record.batch):
        yield "Batch", batch
    yield "Packages", _shared(", ".join(f"{k} {v}" for k, v in record.packages.items()) for record in records)


def _proof(record: TrialRecord) -> str:
    difference = max_abs_difference(record.weights.proof)
    if record.weights.proof is None or difference is None:
        return "not converted"
    return f"{record.weights.proof.get('target', 'target unknown')}, max abs difference {difference:.3g}"


def _shared(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _trials(result: BenchmarkResult, row: Row) -> Table:
    metrics = sorted((metric.name for metric in result.metrics), key=lambda name: name != result.main_metric)
    titles = ("Figures", "Config", "Inputs", "Commit", "Device")
    columns = [Column("Seed"), *(Column(fmt.metric_title(name)) for name in metrics)]
    columns += [Column(title, numeric=False) for title in titles] + [Column("Hours"), Column("Peak memory")]
    return plain_table("Trials", columns, [_trial(record, metrics) for record in (*row.done, *row.failed)])


def _trial(record: TrialRecord, metrics: list[str]) -> tuple[str, ...]:
    values = [fmt.number(record.metrics[name].value) if name in record.metrics else fmt.NOTHING for name in metrics]
    return (
        f"{record.seed}" + (" (failed)" if record.status == "failed" else ""),
        *values,
        _seal(record),
        fmt.short_hash(record.config_sha256),
        fmt.short_hash(record.inputs_sha256),
        commit(record),
        record.device,
        fmt.number(record.device_hours, digits=4),
        fmt.gibibytes(record.peak_bytes),
    )


def _seal(record: TrialRecord) -> str:
    """The start of the figures' hash, or why there is none to rely on."""
    if not record.metrics_sha256:
        return SEAL_MISSING
    return SEAL_BROKEN if broken_seals([record]) else fmt.short_hash(record.metrics_sha256)
