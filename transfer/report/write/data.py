"""``report.csv``: every value, for a spreadsheet. ``report.json``: every statistic, for a program."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from common.errors import UserError
from common.files import sha256_text
from transfer.record import TrialRecord
from transfer.report.compare import statistics as stats
from transfer.report.compare.paper_forms import paper_forms
from transfer.report.compare.paper_rows import Average, averages
from transfer.report.compare.results import BenchmarkResult, Report, Row
from transfer.report.lay_out import provenance
from transfer.report.read.ablation_files import Ablation
from transfer.report.write.evidence_data import evidence_content

SCHEMA_VERSION = 3
CSV_COLUMNS = (
    "suite",
    "benchmark",
    "weights",
    "weights_sha256",
    "arch",
    "seed",
    "status",
    "metric",
    "value",
    "direction",
    "main_metric",
    "on_protocol",
    "deviations",
    "protocol_version",
    "config_sha256",
    "git_commit",
    "git_dirty",
    "device",
    "wall_seconds",
    "device_hours",
    "peak_bytes",
    "error",
)


def render_csv(report: Report) -> str:
    """One row per trial and metric; a failed trial has one row, without metric and value."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for result in report.benchmarks:
        for row in result.rows:
            for trial in (*row.done, *row.failed):
                writer.writerows(_csv_rows(trial, row, result))
    return buffer.getvalue()


def _csv_rows(trial: TrialRecord, row: Row, result: BenchmarkResult) -> list[dict[str, object]]:
    common = {
        "suite": trial.suite,
        "benchmark": trial.benchmark,
        "weights": row.label,
        "weights_sha256": trial.weights.sha256,
        "arch": trial.weights.arch,
        "seed": trial.seed,
        "status": trial.status,
        "on_protocol": row.procedure.on_protocol,
        "deviations": "; ".join(row.procedure.deviations),
        "protocol_version": trial.protocol_version,
        "config_sha256": trial.config_sha256,
        "git_commit": trial.git_commit,
        "git_dirty": trial.git_dirty,
        "device": trial.device,
        "wall_seconds": trial.wall_seconds,
        "device_hours": trial.device_hours,
        "peak_bytes": trial.peak_bytes,
        "error": trial.error or "",
    }
    if trial.status == "failed":
        return [common]
    return [
        common
        | {
            "metric": name,
            "value": metric.value,
            "direction": metric.direction,
            "main_metric": name == result.main_metric,
        }
        for name, metric in trial.metrics.items()
    ]


def render_ablations_csv(ablations: Sequence[Ablation]) -> str:
    """One row per run: its setting, every figure (accuracy and NMI in percent), and where it is."""
    figures = list(dict.fromkeys(name for each in ablations for run in each.runs for name in run.figures))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["study", "recipe", "setting", "overrides", "seed", *figures, "sentinel", "failure", "folder"])
    for each in ablations:
        for run in each.runs:
            overrides = " ".join([*each.overrides, *run.overrides])
            values = [run.figures.get(name, "") for name in figures]
            ending = [" | ".join(run.sentinel), run.failure or "", run.folder]
            writer.writerow([each.study, each.recipe, run.setting, overrides, run.seed, *values, *ending])
    return buffer.getvalue()


def render_json(report: Report, sources: Sequence[str] = ()) -> str:
    """All statistics, unrounded; null is what cannot be computed.

    Args:
        sources: where the records are, relative to the file; ``--verify`` looks there.
    """
    content = {"schema_version": SCHEMA_VERSION, "sources": list(sources), **json_content(report)}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json_content(report: Report) -> dict[str, Any]:
    """What ``report.json`` says about the records, in containers that JSON has."""
    content = {
        "options": {"baseline": report.baseline, "difference": report.wanted},
        "confidence": stats.CONFIDENCE,
        "alpha": stats.ALPHA,
        "power": stats.POWER,
        "benchmarks": [_benchmark(result) for result in report.benchmarks],
        "averages": [_average(each) for each in averages(report, paper_forms())],
        **evidence_content(report.evidence),
        "records": [_record(record) for record in report.records],
    }
    return cast("dict[str, Any]", json.loads(json.dumps(content, allow_nan=False)))


def read_json(path: Path) -> dict[str, Any]:
    """The content of a ``report.json``.

    Raises:
        UserError: it cannot be read, or is none of this version.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {content['schema_version']}, this program reads {SCHEMA_VERSION}")
        if missing := {"sources", "options", "benchmarks", "records"} - content.keys():
            raise ValueError(f"no {sorted(missing)[0]}")
        return content
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): name a report.json") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise no_report(path, error) from None


def no_report(path: Path, error: Exception) -> UserError:
    """The error for a file that is not what ``report.json`` should be."""
    return UserError(f"{path} is not a report.json of this program ({error}): write it again with tools/report.sh")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _record(record: TrialRecord) -> dict[str, Any]:
    """Which record the figures come from; ``record_sha256`` is over the whole of it."""
    return {
        "suite": record.suite,
        "benchmark": record.benchmark,
        "weights": record.weights.name,
        "weights_sha256": record.weights.sha256,
        "seed": record.seed,
        "status": record.status,
        "metrics_sha256": record.metrics_sha256,
        "config_sha256": record.config_sha256,
        "record_sha256": sha256_text(record.to_text()),
    }


def _benchmark(result: BenchmarkResult) -> dict[str, Any]:
    return {
        "suite": result.key.suite,
        "benchmark": result.key.benchmark,
        "title": result.title,
        "main_metric": result.main_metric,
        "metrics": {metric.name: metric.direction for metric in result.metrics},
        "best": result.best,
        "weights": [_row(row) for row in result.rows],
        "floors": {floor.name: floor.ranges for floor in result.floors},
        "published": dataclasses.asdict(result.published) if result.published else None,
        "notes": provenance.notes(result),
    }


def _average(average: Average) -> dict[str, Any]:
    """Of the table with one column a data set: which weights, over which benchmarks, and every seed's mean."""
    return {
        "suite": average.suite,
        "table": average.form.number,
        "title": average.form.title,
        "weights": average.row.label,
        "benchmarks": list(average.form.benchmarks),
        "average": dataclasses.asdict(average.summary) | {"values": average.values},
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "label": row.label,
        "name": row.weights.name,
        "sha256": row.weights.sha256,
        "arch": row.arch,
        "on_protocol": row.procedure.on_protocol,
        "deviations": row.procedure.deviations,
        "protocol_version": row.procedure.protocol_version,
        "config_sha256": row.procedure.config_sha256,
        "is_baseline": row.is_baseline,
        "baseline": row.baseline,
        "failed": {trial.seed: trial.error for trial in row.failed},
        "metrics": {
            name: dataclasses.asdict(summary) | {"values": row.values(name)} for name, summary in row.metrics.items()
        },
        "inflated": {
            name: dataclasses.asdict(summary) | {"values": row.inflated_values(name)}
            for name, summary in row.inflated.items()
        },
        "test_scorings": {trial.seed: trial.test_scorings for trial in row.done if trial.test_scorings},
        "choices": {trial.seed: trial.choices for trial in row.done if trial.choices},
        "differences": {name: dataclasses.asdict(compared) for name, compared in row.differences.items()},
    }
