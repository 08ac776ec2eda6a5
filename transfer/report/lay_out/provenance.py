"""Where the figures come from: weights and proofs, code, packages, machines, costs, and what was off protocol."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import Any

from transfer.record import TrialRecord
from transfer.report.compare.results import BenchmarkResult, Report, Row
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.table import Column, RowGroup, Table, TableRow, plain_table
from transfer.report.lay_out.tables import benchmark_label

ERROR_CHARACTERS = 300  # of a failed trial's reason; the whole of it stands in the CSV and JSON files
UNKNOWN_ARCH = "unknown"  # of trials that failed before the weights were read


def weights_table(report: Report) -> Table:
    """One row per initialisation: file, hash, format, and what the conversion's proof found."""
    rows: dict[str, list[TrialRecord]] = {}
    for row in report.rows:
        rows.setdefault(row.label, []).extend([*row.done, *row.failed])
    titles = ("Weights", "Architecture", "Format", "Proof: max abs difference", "Source", "SHA-256")
    columns = [Column(title, numeric=False) for title in titles]
    cells = [
        (
            label,
            _listed(record.weights.arch for record in records),
            _listed(record.weights.source_format for record in records),
            _proofs(records),
            _listed(record.weights.source for record in records),
            records[0].weights.sha256,
        )
        for label, records in sorted(rows.items())
    ]
    return plain_table("Weights", columns, cells)


def max_abs_difference(proof: dict[str, Any] | None) -> float | None:
    """The largest difference at any stage that a conversion's proof found; None where nothing was converted."""
    if not proof:
        return None
    return max((float(stage["max_abs_difference"]) for stage in proof.get("stages", {}).values()), default=None)


def _proofs(records: Iterable[TrialRecord]) -> str:
    """E.g. ``"detectron2 0, mmseg 1.2e-07"``: for each target the largest over the trials."""
    largest: dict[str, float] = {}
    for record in records:
        difference = max_abs_difference(record.weights.proof)
        if record.weights.proof and difference is not None:
            target = str(record.weights.proof.get("target", "target unknown"))
            largest[target] = max(difference, largest.get(target, 0.0))
    return ", ".join(f"{target} {largest[target]:.3g}" for target in sorted(largest)) or "not converted"


def _listed(names: Iterable[str]) -> str:
    distinct = sorted(set(names))
    known = [name for name in distinct if name != UNKNOWN_ARCH]
    return ", ".join(known or distinct)


def runs_table(report: Report) -> Table:
    """One row per benchmark and weights: what it cost and what it ran with."""
    columns = (
        Column("Weights", numeric=False),
        Column("Done"),
        Column("Failed"),
        Column("Wall time"),
        Column("Device-hours"),
        Column("Peak memory"),
        Column("Device", numeric=False),
        Column("Commit", numeric=False),
        Column("Config", numeric=False),
        Column("Protocol", numeric=False),
    )
    groups = [
        RowGroup(benchmark_label(report, result), tuple(TableRow(_run_cells(row)) for row in result.rows))
        for result in report.benchmarks
    ]
    return Table("Runs: sums over the trials; peak memory is the largest", columns, tuple(groups))


def _run_cells(row: Row) -> tuple[str, ...]:
    trials = (*row.done, *row.failed)
    return (
        row.label,
        str(len(row.done)),
        str(len(row.failed)),
        fmt.duration(sum(trial.wall_seconds for trial in trials)),
        fmt.number(sum(trial.device_hours for trial in trials), digits=3),
        fmt.gibibytes(max(trial.peak_bytes for trial in trials)),
        ", ".join(sorted({trial.device for trial in trials})),
        ", ".join(sorted({commit(trial) for trial in trials})),
        fmt.short_hash(row.procedure.config_sha256),
        "; ".join((f"version {row.procedure.protocol_version}", *row.procedure.deviations)),
    )


def commit(record: TrialRecord) -> str:
    """Short commit, ``+dirty`` where the checkout had changes that are in no commit."""
    return record.git_commit[:10] + ("+dirty" if record.git_dirty else "")


def packages_table(report: Report) -> Table:
    """Each package with the versions seen; more than one deserves a look."""
    versions: dict[str, set[str]] = {}
    for record in report.records:
        for name, version in record.packages.items():
            versions.setdefault(name, set()).add(version)
    columns = (Column("Package", numeric=False), Column("Version", numeric=False))
    return plain_table("Packages", columns, [(name, ", ".join(sorted(versions[name]))) for name in sorted(versions)])


def scored_again(record: TrialRecord) -> list[str]:
    """Sentences about test splits that a trial has scored more than once."""
    times = Counter(scoring["split"] for scoring in record.test_scorings)
    return [
        f"the {split} images were scored {number} times in one trial, so the figure may have been chosen by them."
        for split, number in times.items()
        if number > 1
    ]


def notes(result: BenchmarkResult) -> list[str]:
    """What a reader of this benchmark must be told: deviations, failures, mixed machines or code."""
    found = []
    for row in result.rows:
        if row.procedure.deviations:
            found.append(f"{row.label} is off protocol: {'; '.join(row.procedure.deviations)}.")
        found += [f"{row.label}, seed {trial.seed}: {fault}" for trial in row.done for fault in scored_again(trial)]
        for trial in row.failed:
            reason = textwrap.shorten(trial.error or "no reason given", ERROR_CHARACTERS, placeholder=" …")
            found.append(f"{row.label}, seed {trial.seed} failed and is in no average: {reason}")
        for name, figures in row.metrics.items():
            if figures.identical and name == result.main_metric:
                found.append(
                    f"{row.label}: all {figures.n} trials gave the same {fmt.metric_title(name)}, so the seed has "
                    "no influence on it and no interval can be given."
                )
    done = [record for record in result.records if record.status == "done"]
    mixed = {
        "devices": {record.device for record in done},
        "commits": {commit(record) for record in done},
        "package versions": {", ".join(f"{k} {v}" for k, v in sorted(record.packages.items())) for record in done},
    }
    for what, seen in mixed.items():
        if len(seen) > 1:
            found.append(f"The trials compared here ran with different {what} (see Provenance).")
    return found
