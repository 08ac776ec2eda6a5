"""``tools/report.sh --verify report.json``: does every figure of a report follow from the records?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import sha256_text
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.lay_out import format as fmt
from transfer.report.read.evidence import Evidence, find_evidence
from transfer.report.read.trials import find_records
from transfer.report.write.data import json_content, no_report, read_json

MISSING = "missing"
VALUES = " values "  # in the names of figures that are the records' own
ROUNDING = 1e-9  # of computed figures: another machine's libraries may round the last bits otherwise
Cells = dict[str, Any]


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        num_cells: how many values of the report were recomputed.
        differing: one line for each cell that is not what the records give, with its name.
        edited: one line for each record that was changed after its trial or after the report.
        unverifiable: records that carry no hash of their figures, being older than the field.
    """

    num_cells: int
    differing: tuple[str, ...]
    edited: tuple[str, ...]
    unverifiable: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.differing and not self.edited


def verify(path: Path, sources: Sequence[Path] = ()) -> Verification:
    """Recomputes the report from its records.

    Args:
        path: a ``report.json``.
        sources: folders or archives of the records; by default those that the report names.

    Raises:
        UserError: the file is no report of this version, or the records cannot be read.
    """
    stated = read_json(path)
    places = sources or [path.parent / source for source in stated["sources"]]
    records, evidence = find_records(places), find_evidence(places)
    options = stated["options"]
    report = build_report(records, baseline=options["baseline"], wanted=options["difference"], evidence=evidence)
    found = json_content(report)
    try:
        told = _cells(stated)
        edited = (*_edited(records, stated["records"]), *edited_ablations(evidence))
    except (KeyError, TypeError, AttributeError) as error:
        raise no_report(path, error) from None
    return Verification(
        num_cells=len(told),
        differing=tuple(_differences(told, _cells(found))),
        edited=edited,
        unverifiable=tuple(_name(record) for record in records if not record.metrics_sha256),
    )


def broken_seals(records: Sequence[TrialRecord]) -> list[str]:
    """The trials whose record no longer is what was written when they ended, and in what."""
    found = []
    for record in records:
        if record.metrics_sha256 and record.metrics_sha256 != record.figures_sha256():
            found.append(f"{_name(record)}: its figures are not those of its metrics_sha256")
        if record.resolved_config and record.config_sha256 != sha256_text(record.resolved_config):
            found.append(f"{_name(record)}: its config is not that of its config_sha256")
    return found


def edited_ablations(evidence: Evidence) -> list[str]:
    """The outcomes of ablations that no longer are what their ablation wrote."""
    return [
        f"{each.label}: its content is not that of its content_sha256" for each in evidence.ablations if each.edited
    ]


def text(verification: Verification, path: Path) -> str:
    """The finding in words, the verdict last."""
    lines = [f"differs: {line}" for line in verification.differing]
    lines += [f"edited: {line}" for line in verification.edited]
    if verification.unverifiable:
        lines.append(
            f"unverifiable: {fmt.plural(len(verification.unverifiable), 'record')} without metrics_sha256 (written "
            f"before records carried it), the first is {verification.unverifiable[0]}"
        )
    if verification.holds:
        verdict = f"{path}: all {verification.num_cells} values follow from the records"
    else:
        differing = fmt.plural(len(verification.differing), "value")
        verdict = f"{path}: {differing} of {verification.num_cells} differ, " + (
            f"{fmt.plural(len(verification.edited), 'mark')} of edited records"
        )
    return "\n".join([*lines, verdict])


def _edited(records: Sequence[TrialRecord], stated: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from broken_seals(records)
    hashes = {_stated_name(entry): entry["record_sha256"] for entry in stated}
    for record in records:
        if hashes.get(_name(record), "") not in ("", sha256_text(record.to_text())):
            yield f"{_name(record)}: not the record that the report was made of"


def _differences(told: Cells, found: Cells) -> Iterator[str]:
    for name in dict.fromkeys([*told, *found]):
        stated, computed = told.get(name, MISSING), found.get(name, MISSING)
        if not _same(stated, computed, exact=VALUES in name):
            yield f"{name}: the report says {_shown(stated)}, the records give {_shown(computed)}"


def _same(stated: Any, computed: Any, *, exact: bool) -> bool:
    if isinstance(stated, float) and isinstance(computed, float) and not exact:
        return math.isclose(stated, computed, rel_tol=ROUNDING, abs_tol=ROUNDING)
    return type(stated) is type(computed) and bool(stated == computed)


def _shown(value: Any) -> str:
    return MISSING if value == MISSING else json.dumps(value, ensure_ascii=False)


def _cells(content: dict[str, Any]) -> Cells:
    """Name to value of everything that a reader of the report may quote."""
    cells: Cells = {name: content.get(name) for name in ("confidence", "alpha", "power")}
    for benchmark in content["benchmarks"]:
        where = f"{benchmark['suite']}/{benchmark['benchmark']}"
        for name, value in benchmark.items():
            if name != "weights":
                cells |= dict(_leaves(value, f"{where}, {name}"))
        for row in benchmark["weights"]:
            cells |= dict(_leaves(row, f"{where}, {_row_name(row)}"))
    for entry in content["averages"]:
        where = f"{entry['suite']}/table {entry['table']} {entry['title']}, {entry['weights']}"
        cells |= dict(_leaves({name: entry[name] for name in ("benchmarks", "average")}, where))
    cells |= dict(_evidence_cells(content))
    for entry in content["records"]:
        cells[f"{_stated_name(entry)}, status"] = entry["status"]
    return cells


def _evidence_cells(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Of near-duplicates, ablations and pre-training runs."""
    for entry in content["near_duplicates"]:
        yield from _leaves(entry, f"near-duplicates, {entry['data_set']}, {entry['training_source']}")
    for entry in content["ablations"]:
        where = f"ablation {entry['study']}, {entry['recipe']} {' '.join(entry['overrides'])}".strip()
        yield from _leaves({name: value for name, value in entry.items() if name != "settings"}, where)
        for setting in entry["settings"]:
            yield from _leaves(setting, f"{where}, {setting['setting']}")
    for entry in content["pretraining"]:
        yield from _leaves(entry, f"pre-training, {entry['label']}")


def _row_name(row: dict[str, Any]) -> str:
    """Unique in its benchmark: the label, and the config where it is off protocol."""
    return (
        row["label"] if row["on_protocol"] else f"{row['label']} (off protocol, {fmt.short_hash(_procedure_id(row))})"
    )


def _procedure_id(row: dict[str, Any]) -> str:
    """Hash of the procedure of a row of ``report.json``."""
    return sha256_text(json.dumps([row["deviations"], row["protocol_version"], row["config_sha256"]]))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """E.g. ``"demo/demo-seg, twist, metrics miou mean"``; empty containers are values too."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            separator = " " if ", " in name and name.count(",") > 1 else ", "
            yield from _leaves(inner, f"{name}{separator}{key}")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{name} {index}")
    else:
        yield name, value


def _name(record: TrialRecord) -> str:
    return f"{record.suite}/{record.benchmark}, {record.weights.name}-{record.weights.sha256[:8]}, seed {record.seed}"


def _stated_name(entry: dict[str, Any]) -> str:
    where = f"{entry['suite']}/{entry['benchmark']}"
    return f"{where}, {entry['weights']}-{entry['weights_sha256'][:8]}, seed {entry['seed']}"
