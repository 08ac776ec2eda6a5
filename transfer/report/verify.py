"""``tools/report.sh --verify``: does every figure and every form of a report follow from the records?"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.outcomes.kind import Outcomes
from transfer.record import SEALED_IN_PART, TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.lay_out import format as fmt
from transfer.report.read.evidence import find_evidence
from transfer.report.read.trials import broken_seals, copies, find_trials, outcomes_of, trial_name
from transfer.report.signature import signer
from transfer.report.write.data import json_content, no_report, parse_json
from transfer.report.write.forms import REPORT_JSON, REPORT_SIGNATURE
from transfer.report.written import WrittenReport, changed_files, changed_forms, missing_outcomes, open_report
from twist_common.errors import UserError
from twist_common.files import sha256_text
from twist_common.strict_json import number, text

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
        ledger: one line for each contradiction between the records and the ledger.
        has_ledger: whether there is one.
        unchecked: trials whose outcomes are not there.
        signed_by: who, of the signers that were asked for; ``unsigned``: why there is none.
        sealed_in_part: records whose seal covers their figures alone, because they are of the older schema.
    """

    num_cells: int
    differing: tuple[str, ...]
    edited: tuple[str, ...]
    sealed_in_part: tuple[str, ...] = ()
    ledger: tuple[str, ...] = ()
    has_ledger: bool = True
    unchecked: tuple[str, ...] = ()
    signed_by: str = ""
    unsigned: str = ""

    @property
    def holds(self) -> bool:
        return not (self.differing or self.edited or self.ledger or self.unsigned)


def verify(path: Path, sources: Sequence[Path] = (), signers: Path | None = None) -> Verification:
    """Recomputes the report from its records.

    Args:
        path: a ``report.json``, a folder or an archive that holds one.
        sources: folders or archives of the records; by default those that the report names.
        signers: who may have signed (:func:`~transfer.report.signature.signer`); None to ask for no signature.

    Raises:
        UserError: the file is not a report of this version, or the records cannot be read.
    """
    written = open_report(path)
    stated = _read_stated(written)
    places = sources or ([written.archive] if written.archive else [written.folder / name for name in stated.sources])
    found, evidence = find_trials(places), find_evidence(places)
    records = [trial.record for trial in found]
    read = outcomes_of(found)

    def outcomes(record: TrialRecord) -> Outcomes | None:
        with contextlib.suppress(UserError):  # others than the trial's are named with the files that have changed
            return read(record)
        return None

    report = build_report(records, evidence=evidence, outcomes=outcomes, **stated.options)
    changed = [
        f"{trial_name(record)}: not the record that the report was made of"
        for record in records
        if stated.hashes.get(trial_name(record)) not in (None, sha256_text(record.to_text()))
    ]
    copied = (line for _, line in copies(records))
    computed = json_content(report)
    differing = tuple(_differences(stated.cells, _cells(computed)))
    # Where figures differ, so does every form, and nothing is said by that.
    forms = [] if differing else changed_forms(written, report, stated.sources, found)
    lines = {sha256 for each in evidence.ledgers for sha256 in each.ledger.hashes}
    cut = (
        f"line {head[:8]}, the last when the report was made, is no longer there"
        for head in stated.heads
        if head not in lines
    )
    if not (differing or changed):
        differing = tuple(_rest(stated.content, computed))
    signed_by, unsigned = _signature(written, signers) if signers else ("", "")
    return Verification(
        num_cells=len(stated.cells),
        differing=differing,
        edited=(*broken_seals(records), *copied, *changed, *evidence.edited(), *changed_files(found), *forms),
        sealed_in_part=tuple(trial_name(record) for record in records if record.schema_version == SEALED_IN_PART),
        ledger=(*report.ledger.faults, *cut),
        has_ledger=report.ledger.num_lines is not None or not records,
        unchecked=tuple(missing_outcomes(found)),
        unsigned=unsigned,
        signed_by=signed_by,
    )


def _rest(stated: dict[str, Any], computed: dict[str, Any]) -> Iterator[str]:
    """What else a program may read in a ``report.json``; a ledger that has grown since shows by its last line."""
    if stated["ledger"]["heads"] != computed["ledger"]["heads"]:
        stated, computed = ({**each, "ledger": None} for each in (stated, computed))
    return _differences(*(dict(_leaves(each, REPORT_JSON)) for each in (stated, computed)))


def _signature(written: WrittenReport, signers: Path) -> tuple[str, str]:
    """Who has signed the report, or why nobody has."""
    signature = written.read(REPORT_SIGNATURE)
    if signature is None:
        return "", f"there is no {REPORT_SIGNATURE} beside {written.where}"
    who = signer(written.read(REPORT_JSON) or b"", signature, signers)
    return (who, "") if who else ("", f"{REPORT_SIGNATURE} is not of this report by one of {signers}")


@dataclass(frozen=True)
class _Stated:
    """What a ``report.json`` says.

    Attributes:
        content: all of it but where the records are.
        options: of :func:`build_report`.
        hashes: of the records' files, by trial.
        heads: hashes of the last lines of the ledgers.
    """

    sources: list[str]
    content: dict[str, Any]
    options: dict[str, Any]
    cells: Cells
    hashes: dict[str, str]
    heads: list[str]


def _read_stated(written: WrittenReport) -> _Stated:
    content = written.read(REPORT_JSON)
    if content is None:
        raise UserError(f"there is no {written.where}: write the report with tools/report.sh first")
    stated = parse_json(content, written.where)
    try:
        asked = stated["options"]
        rows = [(each["benchmark"], row) for each in stated["benchmarks"] for row in each["weights"]]
        options = {
            "baseline": None if asked["baseline"] is None else text(asked, "baseline"),
            "wanted": number(asked["difference"], "difference"),
            "margin": None if asked["margin"] is None else number(asked["margin"], "margin"),
            "declared": [text({"as": each}, "as") for each in asked["as"]],
            # A report stays true when a protocol gets a new version: what it calls on protocol was so then.
            "versions": {name: row["protocol_version"] for name, row in rows if row["on_protocol"]},
        }
        return _Stated(
            sources=[text({"sources": each}, "sources") for each in stated["sources"]],
            content={name: each for name, each in stated.items() if name not in ("schema_version", "sources")},
            options=options,
            cells=_cells(stated),
            hashes={_stated_name(entry): entry["record_sha256"] for entry in stated["records"]},
            heads=[text({"heads": each}, "heads") for each in stated["ledger"]["heads"]],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise no_report(written.where, error) from None


def in_words(verification: Verification, path: Path) -> str:
    """The finding in words, the verdict last."""
    lines = [f"differs: {line}" for line in verification.differing]
    lines += [f"edited: {line}" for line in verification.edited]
    lines += [f"ledger: {line}" for line in verification.ledger]
    if verification.signed_by or verification.unsigned:
        lines.append(f"signature: {verification.unsigned or f'of {verification.signed_by}'}")
    if not verification.has_ledger:
        lines.append("no ledger: whether trials were left out cannot be seen")
    if unchecked := verification.unchecked:
        lines.append(
            f"not checked: metrics of {fmt.plural(len(unchecked), 'trial')} against outcomes of the images, which are "
            f"not there; the first is {unchecked[0]}"
        )
    if in_part := verification.sealed_in_part:
        lines.append(
            f"sealed in part: {fmt.plural(len(in_part), 'record')} of the older schema, whose seal covers the figures "
            f"and not e.g. the weights' name or the device; the first is {in_part[0]}"
        )
    if verification.holds:
        verdict = f"{path}: all {verification.num_cells} values follow from the records"
    else:
        differing = fmt.plural(len(verification.differing), "value")
        edited = fmt.plural(len(verification.edited), "mark")
        verdict = f"{path}: {differing} of {verification.num_cells} differ, {edited} of editing"
        if verification.ledger:
            verdict += f", {fmt.plural(len(verification.ledger), 'contradiction')} with the ledger"
        if verification.unsigned:
            verdict += ", not signed"
    return "\n".join([*lines, verdict])


def _differences(reported: Cells, computed: Cells) -> Iterator[str]:
    def shown(value: Any) -> str:
        return MISSING if value == MISSING else json.dumps(value, ensure_ascii=False)

    for name in dict.fromkeys([*reported, *computed]):
        stated, found = reported.get(name, MISSING), computed.get(name, MISSING)
        if isinstance(stated, float) and isinstance(found, float) and VALUES not in name:
            same = math.isclose(stated, found, rel_tol=ROUNDING, abs_tol=ROUNDING)
        else:
            same = type(stated) is type(found) and bool(stated == found)
        if not same:
            yield f"{name}: the report says {shown(stated)}, the records give {shown(found)}"


def _cells(content: dict[str, Any]) -> Cells:
    """Name to value of everything that a reader of the report may quote."""
    cells: Cells = {name: content.get(name) for name in ("confidence", "alpha", "power")}
    for benchmark in content["benchmarks"]:
        where = f"{benchmark['suite']}/{benchmark['benchmark']}"
        for name, value in benchmark.items():
            if name != "weights":
                cells |= dict(_leaves(value, f"{where}, {name}"))
        for row in benchmark["weights"]:
            label = row["label"]
            if not row["on_protocol"]:  # several rows may have this label
                procedure = json.dumps([row["deviations"], row["protocol_version"], row["config_sha256"]])
                label += f" (off protocol, {fmt.short_hash(sha256_text(procedure))})"
            cells |= dict(_leaves(row, f"{where}, {label}"))
    for entry in content["methods"]:
        where = f"{entry['key']['suite']}/{entry['key']['benchmark']}, method {entry['method']}"
        cells |= dict(_leaves(entry, where))
    for entry in content["method_differences"]:
        where = f"{entry['key']['suite']}/{entry['key']['benchmark']}, method {entry['method']} − {entry['other']}"
        cells |= dict(_leaves(entry, where))
    for entry in content["averages"]:
        where = f"{entry['suite']}/table {entry['table']} {entry['title']}, {entry['weights']}"
        cells |= dict(_leaves({name: entry[name] for name in ("benchmarks", "average")}, where))
    for entry in content["average_differences"]:
        where = f"{entry['suite']}/table {entry['table']} {entry['title']}, {entry['weights']} − {entry['baseline']}"
        cells |= dict(_leaves(entry["difference"], where))
    for entry in content["rankings"]:
        cells |= dict(_leaves(entry, f"{entry['suite']}, ranking"))
    for entry in content["reproductions"]:
        where = f"{entry['suite']}/{entry['benchmark']}, {entry['weights']} − {entry['published']}, {entry['metric']}"
        cells |= {f"{where} {name}": entry[name] for name in ("difference", "in_sd", "p_value", "verdict")}
    for entry in content["near_duplicates"]:
        cells |= dict(_leaves(entry, f"near-duplicates, {entry['data_set']}, {entry['training_source']}"))
    for entry in content["ablations"]:
        where = f"ablation {entry['study']}, {entry['recipe']} {' '.join(entry['overrides'])}".strip()
        cells |= dict(_leaves({name: value for name, value in entry.items() if name != "settings"}, where))
        for setting in entry["settings"]:
            cells |= dict(_leaves(setting, f"{where}, {setting['setting']}"))
    for entry in content["pretraining"]:
        cells |= dict(_leaves(entry, f"pre-training, {entry['label']}"))
    for index, entry in enumerate(content["preflights"]):
        cells |= dict(_leaves(entry["checks"], f"preflight {index}, {entry['device']}"))
    for entry in content["records"]:
        cells[f"{_stated_name(entry)}, status"] = entry["status"]
    return cells


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


def _stated_name(entry: dict[str, Any]) -> str:
    """As :func:`~transfer.report.read.trials.trial_name`, of a record that the report names."""
    where = f"{entry['suite']}/{entry['benchmark']}"
    return f"{where}, {entry['weights']}-{entry['weights_sha256'][:8]}, seed {entry['seed']}"
