"""Where the figures come from: weights and proofs, code, packages, machines, costs, and every trial on a card."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from transfer.record import TrialRecord
from transfer.report.compare.model import BenchmarkResult, Report, ResultRow
from transfer.report.compare.paper import averages
from transfer.report.compare.seeds import seed_notes
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.evidence_tables import near_duplicates_table, preflight_tables
from transfer.report.lay_out.paper_tables import average_anchor, measured_label, place_title
from transfer.report.lay_out.seals import seal_cell
from transfer.report.lay_out.tables import (
    RowGroup,
    Table,
    TableRow,
    benchmark_label,
    card_anchor,
    main_first,
    number_columns,
    plain_table,
    row_label,
    text_columns,
    trial_value,
)

ERROR_CHARACTERS = 300  # of a failed trial's reason; the CSV and JSON files have the whole of it
UNKNOWN_ARCH = "unknown"  # of trials that failed before the weights were read
NOT_CONVERTED = "not converted"


@dataclass(frozen=True)
class Card:
    """``anchor``: id in the page; ``facts``: name and value of what all trials of the row share."""

    anchor: str
    title: str
    facts: tuple[tuple[str, str], ...]
    trials: Table


def provenance_tables(report: Report) -> tuple[Table, ...]:
    """What the figures come from, over all benchmarks; without records, the near-duplicates alone."""
    near_duplicates = near_duplicates_table(report.evidence.near_duplicates)
    if not report.benchmarks:
        return near_duplicates
    preflights = preflight_tables(report.evidence.preflights)
    return (_weights_table(report), _runs_table(report), *near_duplicates, *preflights, _packages_table(report))


def _weights_table(report: Report) -> Table:
    """One row per initialisation: file, hash, format, and what the conversion's proof found."""
    rows: dict[str, list[TrialRecord]] = {}
    for row in report.rows:
        rows.setdefault(row.label, []).extend(row.trials)
    columns = text_columns("Weights", "Architecture", "Format", "Proof: max abs difference", "Source", "SHA-256")
    cells = []
    for label, records in sorted(rows.items()):
        weights = [record.weights for record in records]
        largest: dict[str, float] = {}  # difference over the trials, by the conversion's target
        for target, difference in filter(None, map(_proof, records)):
            largest[target] = max(difference, largest.get(target, 0.0))
        proofs = ", ".join(f"{target} {largest[target]:.3g}" for target in sorted(largest))
        names = (
            _listed(each.arch for each in weights),
            _listed(each.source_format for each in weights),
            proofs or NOT_CONVERTED,
            _listed(each.source for each in weights),
        )
        cells.append((label, *names, weights[0].sha256))
    return plain_table("Weights", columns, cells)


def _proof(record: TrialRecord) -> tuple[str, float] | None:
    """Target and largest difference at any stage of the conversion's proof; None where nothing was converted."""
    proof = record.weights.proof or {}
    differences = [float(stage["max_abs_difference"]) for stage in proof.get("stages", {}).values()]
    return (str(proof.get("target", "target unknown")), max(differences)) if differences else None


def _listed(names: Iterable[str]) -> str:
    distinct = sorted(set(names))
    known = [name for name in distinct if name != UNKNOWN_ARCH]
    return ", ".join(known or distinct)


def _runs_table(report: Report) -> Table:
    """One row per benchmark and weights: what it cost and what it ran with."""
    columns = text_columns("Weights")
    columns += number_columns("Done", "Failed", "Wall time", "Device-hours", "Peak memory")
    columns += text_columns("Device", "Commit", "Config", "Protocol")
    groups = []
    for result in report.benchmarks:
        rows = [
            (
                row.label,
                str(len(row.done)),
                str(len(row.failed)),
                fmt.duration(sum(trial.wall_seconds for trial in row.trials)),
                fmt.hours(sum(trial.device_hours for trial in row.trials)),
                fmt.gibibytes(max(trial.peak_bytes for trial in row.trials)),
                ", ".join(sorted({trial.device for trial in row.trials})),
                ", ".join(sorted({_commit(trial) for trial in row.trials})),
                fmt.short_hash(row.procedure.config_sha256),
                "; ".join((f"version {row.procedure.protocol_version}", *row.procedure.deviations)),
            )
            for row in result.rows
        ]
        groups.append(RowGroup(benchmark_label(report, result), tuple(TableRow(cells) for cells in rows)))
    return Table("Runs: sums over the trials; peak memory is the largest", tuple(columns), tuple(groups))


def _commit(record: TrialRecord) -> str:
    """Short commit, ``+dirty`` where the checkout had changes that are in no commit."""
    return record.git_commit[:10] + ("+dirty" if record.git_dirty else "")


def _packages_table(report: Report) -> Table:
    """Each package with the versions seen; more than one deserves a look."""
    versions: dict[str, set[str]] = {}
    for record in report.records:
        for name, version in record.packages.items():
            versions.setdefault(name, set()).add(version)
    rows = [(name, ", ".join(sorted(versions[name]))) for name in sorted(versions)]
    return plain_table("Packages", text_columns("Package", "Version"), rows)


def scored_again(record: TrialRecord) -> list[str]:
    """Sentences about test splits that a trial has scored more than once."""
    times = Counter(scoring["split"] for scoring in record.test_scorings)
    return [
        f"the {split} images were scored {number} times in one trial, so the figure may have been chosen by them."
        for split, number in times.items()
        if number > 1
    ]


def notes(result: BenchmarkResult) -> list[str]:
    """What a reader of this benchmark must know: deviations, failures, mixed machines or code."""
    found = []
    for row in result.rows:
        if row.procedure.deviations:
            found.append(f"{row.label} is off protocol: {'; '.join(row.procedure.deviations)}.")
        found += [f"{row.label}, seed {trial.seed}: {fault}" for trial in row.done for fault in scored_again(trial)]
        remarks = dict.fromkeys(remark for trial in row.done for remark in trial.data_remarks)
        remarks |= {str(trial.repeats): None for trial in row.done if trial.repeats and trial.repeats.near_duplicates}
        found += [f"{row.label}: {remark}." for remark in remarks]
        for trial in row.failed:
            reason = textwrap.shorten(trial.error or "no reason given", ERROR_CHARACTERS, placeholder=" …")
            found.append(f"{row.label}, seed {trial.seed} failed and is in no average: {reason}")
        figures = row.metrics.get(result.main_metric)
        if row.deterministic:
            found.append(
                f"{row.label}: all {len(row.done)} trials gave the same figures. The seed has no influence on them, so "
                "they count once, without an interval over seeds."
            )
        elif figures and figures.identical:
            found.append(
                f"{row.label}: all {figures.n} trials gave the same {fmt.metric_title(result.main_metric)}, though not "
                "the same figures in all metrics: no interval can be given."
            )
    found += seed_notes(result)
    done = [record for row in result.rows for record in row.done]
    mixed = {
        "devices": {record.device for record in done},
        "CPU models": {record.processor for record in done if record.processor and record.device.startswith("cpu")},
        "commits": {_commit(record) for record in done},
        "package versions": {", ".join(f"{k} {v}" for k, v in sorted(record.packages.items())) for record in done},
    }
    found += [
        f"The trials compared here ran with different {what} (see Provenance)."
        for what, seen in mixed.items()
        if len(seen) > 1
    ]
    return found


def cards(report: Report) -> tuple[Card, ...]:
    """One card for each row of each benchmark, and for each average over benchmarks."""
    found = [
        Card(
            anchor=card_anchor(result, row),
            title=f"{benchmark_label(report, result)}: {row_label(row)}",
            facts=tuple(_facts(row).items()),
            trials=_trials(result, row),
        )
        for result in report.benchmarks
        for row in result.rows
    ]
    for average in averages(report):
        seeds = average.values
        columns = [*text_columns("Column"), *number_columns(*(f"Seed {seed}" for seed in seeds))]
        figures = []
        for place in average.form.places:
            values = average.row.values(place)
            figures.append((place_title(average.form, place), *(fmt.number(values[seed]) for seed in seeds)))
        figures.append(("Average", *map(fmt.number, seeds.values())))
        found.append(
            Card(
                anchor=average_anchor(average),
                title=f"{average.form.title}: {measured_label(average.row)}, average",
                facts=(("Figures", "each column's own provenance opens from its cell of the table"),),
                trials=plain_table("Averaged", columns, figures),
            )
        )
    return tuple(found)


def _facts(row: ResultRow) -> dict[str, str]:
    """What all trials of a row share, by name."""

    def shared(values: Iterable[str]) -> str:
        return "; ".join(dict.fromkeys(value for value in values if value))

    def proof(record: TrialRecord) -> str:
        found = _proof(record)
        return f"{found[0]}, max abs difference {found[1]:.3g}" if found else NOT_CONVERTED

    def openings(record: TrialRecord) -> str:
        """Each opening of test images, e.g. ``"test, 10 000 images, final scoring"``; empty without a ledger."""
        return " + ".join(
            f"{scoring['split']}, {fmt.count(scoring['num_images'])} images, {scoring['purpose']}"
            for scoring in record.test_scorings
        )

    standing = fmt.OFF_PROTOCOL if row.procedure.deviations else "on protocol"
    facts = {
        "Weights": shared(trial.weights.source for trial in row.trials),
        "SHA-256": row.weights.sha256,
        "Conversion's proof": shared(map(proof, row.done)),
        "Protocol": f"version {row.procedure.protocol_version}, {standing}",
        "Differs from the protocol in": "; ".join(row.procedure.deviations) or "nothing",
        "Test images": shared(map(openings, row.trials)) or "no ledger",
    }
    if batch := shared(trial.batch for trial in row.trials):
        facts["Batch"] = batch
    if processors := shared(trial.processor for trial in row.trials):
        facts["CPU"] = processors
    packages = shared(", ".join(f"{k} {v}" for k, v in trial.packages.items()) for trial in row.trials)
    return facts | {"Packages": packages}


def _trials(result: BenchmarkResult, row: ResultRow) -> Table:
    metrics = [metric.name for metric in main_first(result)]
    choices = list(dict.fromkeys(name for trial in row.trials for name in trial.choices))
    columns = number_columns("Seed", *map(fmt.metric_title, metrics), *map(fmt.choice_title, choices))
    columns += text_columns("Seal", "Config", "Inputs", "Commit", "Device")
    columns += number_columns("Hours", "Peak memory")
    rows = []
    for trial in row.trials:
        cells = (
            f"{trial.seed}" + (" (failed)" if trial.status == "failed" else ""),
            *(trial_value(trial, name) for name in metrics),
            *(fmt.choice(trial.choices.get(name)) for name in choices),
            seal_cell(trial),
            fmt.short_hash(trial.config_sha256),
            fmt.short_hash(trial.inputs_sha256),
            _commit(trial),
            trial.device,
            fmt.hours(trial.device_hours),
            fmt.gibibytes(trial.peak_bytes),
        )
        rows.append(cells)
    return plain_table("Trials", columns, rows)
