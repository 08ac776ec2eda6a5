"""``report.csv``: every value, for a spreadsheet. ``report.json``: every statistic, for a program."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from transfer.record import TrialRecord
from transfer.report.compare import power
from transfer.report.compare import statistics as stats
from transfer.report.compare.method_differences import method_differences
from transfer.report.compare.model import BenchmarkResult, Report, ResultRow
from transfer.report.compare.paper import Form, MeasuredRow, averages, filled_forms
from transfer.report.compare.ranking import rankings
from transfer.report.compare.reproduction import all_reproductions
from transfer.report.compare.runs import methods
from transfer.report.lay_out.paper_tables import measured_label, printed_label
from transfer.report.lay_out.provenance import notes
from twist_common.errors import UserError
from twist_common.files import sha256_text
from twist_common.printable import printable
from twist_common.strict_json import loads, read_bounded, reason

if TYPE_CHECKING:
    from transfer.report.read.ablation_files import Ablation

SCHEMA_VERSION = 8


def render_csv(report: Report) -> str:
    """One row per trial and metric of a report on records; a failed trial has one row, without metric and value."""
    rows = [
        _csv_cells(row, trial, name, is_main=name == result.main_metric)
        for result in report.benchmarks
        for row in result.rows
        for trial in row.trials
        for name in ([None] if trial.status == "failed" else trial.metrics)
    ]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(cell) for name, cell in row.items()} for row in rows)
    return buffer.getvalue()


def _plain(cell: object) -> object:
    """The cell; a quote comes before what spreadsheets compute (owasp.org/www-community/attacks/CSV_Injection)."""
    if isinstance(cell, str) and re.match(r"\s*[=+\-@]", cell := printable(cell)):  # Python 3.10 writes no NUL
        return f"'{cell}"
    return cell


def _csv_cells(row: ResultRow, trial: TrialRecord, metric: str | None, *, is_main: bool) -> dict[str, object]:
    """Column to cell; without a metric, its columns are empty."""
    return {
        "suite": trial.suite,
        "benchmark": trial.benchmark,
        "weights": row.label,
        "weights_sha256": trial.weights.sha256,
        "arch": trial.weights.arch,
        "seed": trial.seed,
        "status": trial.status,
        "metric": metric,
        "value": trial.metrics[metric].value if metric else "",
        "direction": trial.metrics[metric].direction if metric else "",
        "main_metric": is_main if metric else "",
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


def render_ablations_csv(ablations: Sequence[Ablation]) -> str:
    """One row per run: its setting, every figure (accuracy and NMI in percent), and where it is."""
    figures = list(dict.fromkeys(name for each in ablations for run in each.runs for name in run.figures))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    figure_names = [_plain(name) for name in figures]
    writer.writerow(["study", "recipe", "setting", "overrides", "seed", *figure_names, "sentinel", "failure", "folder"])
    for each in ablations:
        for run in each.runs:
            overrides = " ".join([*each.overrides, *run.overrides])
            values = [run.figures.get(name, "") for name in figures]
            ending = [" | ".join(run.sentinel), run.failure or "", run.folder]
            line = [each.study, each.recipe, run.setting, overrides, run.seed, *values, *ending]
            writer.writerow([_plain(cell) for cell in line])
    return buffer.getvalue()


def render_json(report: Report, sources: Sequence[str] = ()) -> str:
    """All statistics, unrounded; null is what cannot be computed.

    Args:
        sources: where the records are, relative to the file; ``--verify`` looks there.
    """
    content = {"schema_version": SCHEMA_VERSION, "sources": list(sources), **json_content(report)}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json_content(report: Report) -> dict[str, Any]:
    """What ``report.json`` says about the records and the evidence, in containers that JSON has."""
    evidence = report.evidence
    content = {
        "options": {
            "baseline": report.baseline,
            "difference": report.wanted,
            "margin": report.margin,
            "as": report.declared,
        },
        "confidence": stats.CONFIDENCE,
        "alpha": power.ALPHA,
        "power": power.POWER,
        "benchmarks": [_benchmark(result) for result in report.benchmarks],
        "methods": [asdict(each) for each in methods(report)],
        "method_differences": [asdict(each) for each in method_differences(report)],
        "averages": [  # of the tables with one column per data set
            _place(average.suite, average.form, average.row)
            | {"benchmarks": average.form.benchmarks, "average": asdict(average.summary) | {"values": average.values}}
            for average in averages(report)
        ],
        "average_differences": [
            _place(each.average.suite, each.average.form, each.average.row)
            | {"baseline": measured_label(each.baseline.row), "difference": asdict(each.difference)}
            for filled in filled_forms(report)
            for each in filled.differences
        ],
        "rankings": [
            {
                "suite": ranking.suite,
                "benchmarks": ranking.benchmarks,
                "critical_difference": ranking.critical_difference,
                "weights": {
                    line.standing.label: {
                        "average_rank": line.standing.average_rank,
                        "is_near_first": line.is_near_first,
                        "improvement": line.improvement,
                        "iqm": line.iqm,
                        "iqm_interval": asdict(line.iqm_interval) if line.iqm_interval else None,
                    }
                    for line in ranking.lines
                },
            }
            for ranking in rankings(report)
        ],
        "reproductions": [
            _place(each.suite, each.form, each.row)
            | {
                "published": printed_label(each.printed),
                "benchmark": each.place.benchmark,
                "metric": each.place.metric,
                "difference": each.difference,
                "in_sd": each.in_sd,
                "p_value": each.p_value,
                "verdict": each.verdict,
            }
            for each in all_reproductions(report)
        ],
        "near_duplicates": [
            {field.name: getattr(counted, field.name) for field in fields(counted) if field.name != "content"}
            for counted in evidence.near_duplicates
        ],
        "ablations": [_ablation(each) for each in evidence.ablations],
        "pretraining": [
            {
                "label": run.label,
                "facts": run.facts,
                "last_step": run.last_step,
                "last": {name: points[-1][1] for name, points in run.curves.items()},
            }
            for run in evidence.pretraining
        ],
        "preflights": [
            {"device": each.device, "checks": [asdict(check) for check in each.checks]} for each in evidence.preflights
        ],
        "ledger": asdict(report.ledger) | {"heads": [each.ledger.head for each in evidence.ledgers]},
        "records": [
            {
                "suite": record.suite,
                "benchmark": record.benchmark,
                "weights": record.weights.name,
                "weights_sha256": record.weights.sha256,
                "seed": record.seed,
                "status": record.status,
                "seal": record.stated_seal,
                "config_sha256": record.config_sha256,
                "record_sha256": sha256_text(record.to_text()),  # over the whole of it
            }
            for record in report.records
        ],
    }
    return cast("dict[str, Any]", json.loads(json.dumps(content, allow_nan=False)))


def _place(suite: str, form: Form, row: MeasuredRow) -> dict[str, Any]:
    return {"suite": suite, "table": form.number, "title": form.title, "weights": measured_label(row)}


def _benchmark(result: BenchmarkResult) -> dict[str, Any]:
    return {
        "suite": result.key.suite,
        "benchmark": result.key.benchmark,
        "title": result.title,
        "main_metric": result.main_metric,
        "metrics": {metric.name: metric.direction for metric in result.metrics},
        "best": result.best,
        "leader": asdict(result.leader) if result.leader else None,
        "weights": [
            {
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
                "metrics": {name: asdict(each) | {"values": row.values(name)} for name, each in row.metrics.items()},
                "inflated": {
                    name: asdict(each) | {"values": row.inflated_values(name)} for name, each in row.inflated.items()
                },
                "test_scorings": {trial.seed: trial.test_scorings for trial in row.done if trial.test_scorings},
                "choices": {trial.seed: trial.choices for trial in row.done if trial.choices},
                "with_images": asdict(row.with_images) if row.with_images else None,
                "differences": {name: asdict(compared) for name, compared in row.differences.items()},
            }
            for row in result.rows
        ],
        "floors": {floor.name: floor.ranges for floor in result.floors},
        "published": asdict(result.published) if result.published else None,
        "notes": notes(result),
    }


def _ablation(ablation: Ablation) -> dict[str, Any]:
    from transfer.report.read.ablation_files import values

    names = ("study", "title", "recipe", "overrides", "data", "num_train", "num_val", "swept", "untrained")
    settings = []
    for setting, runs in ablation.by_setting().items():
        figures = {name: values(runs, name) for name in dict.fromkeys(name for run in runs for name in run.figures)}
        settings.append(
            {
                "setting": setting,
                "value": runs[0].value,
                "overrides": runs[0].overrides,
                "figures": {
                    name: asdict(stats.summarize([*by_seed.values()])) | {"values": by_seed}
                    for name, by_seed in figures.items()
                },
                "failed": {run.seed: run.failure for run in runs if run.failure},
                "sentinel": {run.seed: run.sentinel for run in runs if run.sentinel},
            }
        )
    return {name: getattr(ablation, name) for name in names} | {"settings": settings}


def read_json(path: Path) -> dict[str, Any]:
    """The content of a ``report.json``.

    Raises:
        UserError: it cannot be read, or is not a report of this version.
    """
    return parse_json(read_bounded(path), path)


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """As :func:`read_json`, of a file's content; ``path`` names it in errors."""
    try:
        content: dict[str, Any] = loads(text)
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {content['schema_version']}, this program reads {SCHEMA_VERSION}")
        if missing := {"sources", "options", "benchmarks", "records"} - content.keys():
            raise ValueError(f"no {sorted(missing)[0]}")
        return content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise no_report(path, error) from None


def no_report(path: Path, error: Exception) -> UserError:
    """The error for a file that is not what ``report.json`` should be."""
    return UserError(
        f"{path} is not a report.json of this program ({reason(error)}): write it again with tools/report.sh"
    )
