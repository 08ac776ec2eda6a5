"""Where a row's figures come from, on one card: each trial with its hashes, code, versions, device and cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transfer.record import TrialRecord
from transfer.report.compare.paper_forms import paper_forms
from transfer.report.compare.paper_rows import Average, averages
from transfer.report.compare.results import BenchmarkResult, Report, Row
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.provenance import commit, max_abs_difference
from transfer.report.lay_out.table import Column, Table, plain_table
from transfer.report.lay_out.tables import benchmark_label, card_anchor, row_label
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
    """One card for each row of each benchmark, and for each average over benchmarks."""
    rows = tuple(_card(report, result, row) for result in report.benchmarks for row in result.rows)
    return rows + tuple(_average_card(each) for each in averages(report, paper_forms()))


def _card(report: Report, result: BenchmarkResult, row: Row) -> Card:
    return Card(
        anchor=card_anchor(result, row),
        title=f"{benchmark_label(report, result)}: {row_label(row)}",
        facts=tuple(_facts(row)),
        trials=_trials(result, row),
    )


def _average_card(average: Average) -> Card:
    """What was averaged: every column's figure for each seed that all of them have."""
    columns = [Column("Column", numeric=False), *(Column(f"Seed {seed}") for seed in average.values)]
    figures = {place.title: average.row.values(place) for place in average.form.places}
    rows = [(title, *(fmt.number(values[seed]) for seed in average.values)) for title, values in figures.items()]
    rows.append(("Average", *map(fmt.number, average.values.values())))
    return Card(
        anchor=average.anchor,
        title=f"{average.form.title}: {average.row.label}, average",
        facts=(("Figures", "each column's own provenance opens from its cell of the table"),),
        trials=plain_table("Averaged", columns, rows),
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
    yield "Test images", _shared(map(ledger, records)) or "no ledger"
    if batch := _shared(record.batch for record in records if record.batch):
        yield "Batch", batch
    yield "Packages", _shared(", ".join(f"{k} {v}" for k, v in record.packages.items()) for record in records)


def ledger(record: TrialRecord) -> str:
    """Each opening of test images, e.g. ``"test, 10 000 images, final scoring"``; empty without a ledger."""
    return " + ".join(
        f"{scoring['split']}, {fmt.count(scoring['num_images'])} images, {scoring['purpose']}"
        for scoring in record.test_scorings
    )


def _proof(record: TrialRecord) -> str:
    difference = max_abs_difference(record.weights.proof)
    if record.weights.proof is None or difference is None:
        return "not converted"
    return f"{record.weights.proof.get('target', 'target unknown')}, max abs difference {difference:.3g}"


def _shared(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))


def _trials(result: BenchmarkResult, row: Row) -> Table:
    metrics = sorted((metric.name for metric in result.metrics), key=lambda name: name != result.main_metric)
    titles = ("Figures", "Config", "Inputs", "Commit", "Device")
    records = (*row.done, *row.failed)
    choices = list(dict.fromkeys(name for record in records for name in record.choices))
    columns = [Column("Seed"), *(Column(fmt.metric_title(name)) for name in metrics)]
    columns += [Column(name.replace("_", " ")) for name in choices]
    columns += [Column(title, numeric=False) for title in titles] + [Column("Hours"), Column("Peak memory")]
    return plain_table("Trials", columns, [_trial(record, metrics, choices) for record in records])


def _trial(record: TrialRecord, metrics: list[str], choices: list[str]) -> tuple[str, ...]:
    values = [fmt.number(record.metrics[name].value) if name in record.metrics else fmt.NOTHING for name in metrics]
    return (
        f"{record.seed}" + (" (failed)" if record.status == "failed" else ""),
        *values,
        *(fmt.choice(record.choices.get(name)) for name in choices),
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
