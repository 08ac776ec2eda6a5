"""A report that does not follow from its records is found out, cell by cell."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report_records import done, failed, save, trials
from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.report.compare.paper import paper_forms
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.read.trials import broken_seals, find_records
from transfer.report.verify import Verification, in_words, verify
from transfer.report.write.data import render_json
from twist_common.errors import UserError


def sealed() -> list[TrialRecord]:
    records = [*trials([50.0, 51.5, 52.1], weights="random-resnet18"), *trials([60.12, 61.0, 62.5])]
    return [*records, failed(seed=3)]


@pytest.fixture
def report_json(tmp_path: Path) -> Path:
    save(sealed(), tmp_path / "runs")
    path = tmp_path / "report.json"
    path.write_text(render_json(build_report(sealed()), ["runs"]))
    return path


def record_of(report_json: Path, weights: str, seed: int) -> Path:
    (path,) = report_json.parent.glob(f"runs/demo/demo-seg/{weights}-*/trial-{seed}/record.json")
    return path


def change(path: Path, pattern: str, replacement: str) -> None:
    content = path.read_text()
    changed, count = re.subn(pattern, replacement, content, count=1)
    assert count == 1
    path.write_text(changed)


def test_an_untouched_report_holds(report_json: Path) -> None:
    found = verify(report_json)
    assert (found.differing, found.edited, found.sealed_in_part) == ((), (), ())
    assert found.holds and found.num_cells > 50


def test_one_digit_of_one_record_changes_the_cells_that_it_is_in_and_they_are_named(report_json: Path) -> None:
    change(record_of(report_json, "twist", 0), r"60\.12", "60.13")
    found = verify(report_json)
    assert not found.holds
    named = {line.split(":")[0] for line in found.differing}
    assert "demo/demo-seg, twist, metrics miou values 0" in named
    assert "demo/demo-seg, twist, metrics miou mean" in named
    assert "demo/demo-seg, twist, differences miou summary mean" in named
    assert not any("random-resnet18, metrics" in name for name in named)
    assert any("the report says 60.12, the records give 60.13" in line for line in found.differing)
    assert any("twist" in line and "seed 0: its content is not that of its seal" in line for line in found.edited)


def test_one_digit_of_one_of_eleven_data_sets_is_named_in_their_average_too(tmp_path: Path) -> None:
    form = next(form for form in paper_forms() if form.averaged)
    records = [
        record.sealed()
        for place in form.places
        for record in trials([{place.metric: 60.12}, {place.metric: 61.0}], benchmark=place.benchmark)
    ]
    runs = save(records, tmp_path / "runs")
    path = tmp_path / "report.json"
    path.write_text(render_json(build_report(records), ["runs"]))
    assert verify(path).holds
    (record,) = runs.glob("demo/pets-linear/*/trial-0/record.json")
    change(record, r"60\.12", "60.13")
    found = verify(path)
    named = {line.split(":")[0] for line in found.differing}
    average = f"demo/table 4 {form.title}, twist average"
    assert {
        f"{average} values 0",
        f"{average} mean",
        "demo/pets-linear, twist, metrics mean_per_class values 0",
    } <= named
    assert not any("average values 1" in name or "dtd" in name for name in named)


def test_a_report_still_holds_when_its_protocol_gets_a_new_version(
    report_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = dataclasses.replace(BENCHMARKS["demo-seg"], protocol_version=BENCHMARKS["demo-seg"].protocol_version + 1)
    monkeypatch.setitem(BENCHMARKS, "demo-seg", newer)
    assert verify(report_json).holds


def test_one_digit_of_the_report_is_named(report_json: Path) -> None:
    change(report_json, r'"mean": 61\.2066', '"mean": 61.3066')
    (line,) = verify(report_json).differing
    assert line.startswith("demo/demo-seg, twist, metrics miou mean: the report says 61.3066")


def test_an_edited_record_whose_hash_was_made_to_fit_still_differs_from_the_report(report_json: Path) -> None:
    path = record_of(report_json, "twist", 1)
    change(path, r"61\.0\b", "69.0")
    TrialRecord.load(path).sealed().save(path)
    found = verify(report_json)
    assert broken_seals([TrialRecord.load(path)]) == []
    assert any(line.startswith("demo/demo-seg, twist, metrics miou values 1:") for line in found.differing)
    assert any("not the record that the report was made of" in line for line in found.edited)


def test_an_edit_that_changes_no_figure_is_found_by_the_records_hash(report_json: Path) -> None:
    change(record_of(report_json, "twist", 2), r'"peak_bytes": \d+', '"peak_bytes": 1')
    found = verify(report_json)
    assert found.differing == ()
    assert [line.split(": ")[1] for line in found.edited] == [
        "its content is not that of its seal",
        "not the record that the report was made of",
    ]


def test_an_edited_config_is_found(report_json: Path) -> None:
    path = record_of(report_json, "twist", 2)
    change(path, "config of demo-seg", "config of another kind")
    assert any("its config is not that of its config_sha256" in line for line in verify(report_json).edited)


def test_a_record_that_is_gone_is_missing_and_not_a_number(report_json: Path) -> None:
    record_of(report_json, "twist", 1).unlink()
    lines = verify(report_json).differing
    assert "demo/demo-seg, twist, metrics miou values 1: the report says 61.0, the records give missing" in lines
    assert any("metrics miou n: the report says 3, the records give 2" in line for line in lines)


def test_a_record_that_the_report_leaves_out_is_named(report_json: Path) -> None:
    save([done(99.0, seed=9).sealed()], report_json.parent / "runs")
    lines = verify(report_json).differing
    assert any("seed 9, status: the report says missing" in line for line in lines)


def test_a_failed_trial_given_a_figure_is_named(report_json: Path) -> None:
    content: dict[str, Any] = json.loads(report_json.read_text())
    (benchmark,) = content["benchmarks"]
    twist = next(row for row in benchmark["weights"] if row["label"] == "twist")
    twist["metrics"]["miou"]["values"]["3"] = 63.0
    report_json.write_text(json.dumps(content))
    (line,) = verify(report_json).differing
    assert line == "demo/demo-seg, twist, metrics miou values 3: the report says 63.0, the records give missing"


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"60.12"', "null", "1e999"])
def test_what_is_no_number_is_refused_and_never_averaged(report_json: Path, value: str) -> None:
    change(record_of(report_json, "twist", 0), r"60\.12", value)
    with pytest.raises(UserError, match=r"trial-0/record\.json is not a trial record"):
        verify(report_json)


@pytest.mark.parametrize(
    "forged",
    [
        {"weights": dataclasses.replace(done(0.0).weights, name="moco")},
        {"weights": dataclasses.replace(done(0.0).weights, proof=None)},
        {"protocol_difference": []},
        {"standing": "on protocol"},
        {"git_commit": "f" * 40},
        {"git_dirty": True},
        {"device": "NVIDIA H200 x 1"},
        {"packages": {"torch": "9.9"}},
        {"wall_seconds": 1.0},
        {"batch": "same batch"},
        {"files": {"pictures/0.png": "a" * 64}},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_the_seal_covers_the_whole_record(forged: dict[str, Any]) -> None:
    record = done(60.0, protocol_difference=["LR: 0.1 -> 0.2"], standing="off protocol", files={"0.png": "b" * 64})
    assert broken_seals([record]) == []
    assert len(broken_seals([dataclasses.replace(record, **forged)])) == 1


def test_the_names_of_two_rows_swapped_are_named_though_all_values_follow(tmp_path: Path) -> None:
    swapped = {"twist": "moco", "moco": "twist"}
    records = [*trials([50.0, 51.5], weights="moco"), *trials([60.1, 61.0])]
    forged = [
        dataclasses.replace(each, weights=dataclasses.replace(each.weights, name=swapped[each.weights.name]))
        for each in records
    ]
    save(forged, tmp_path / "runs")
    path = tmp_path / "report.json"
    path.write_text(render_json(build_report(forged), ["runs"]))
    found = verify(path)
    assert found.differing == () and not found.holds
    assert len(found.edited) == 4 and "its content is not that of its seal" in found.edited[0]


@pytest.mark.parametrize("version", [1, 2])
def test_a_record_without_its_seal_is_refused(report_json: Path, version: int) -> None:
    path = record_of(report_json, "twist", 0)
    content = json.loads(path.read_text())
    del content["seal"]
    path.write_text(json.dumps(content | {"schema_version": version}))
    with pytest.raises(UserError, match=r"trial-0/record\.json is not a trial record \(it has no seal\)"):
        verify(report_json)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 7},
        {"seed": 7, "suite": "another"},
        {"weights": dataclasses.replace(done(0.0).weights, name="moco")},
        {"weights": dataclasses.replace(done(0.0).weights, sha256="a" * 64)},
    ],
    ids=["seed", "seed in another suite", "name", "weights"],
)
def test_the_same_inputs_under_two_seeds_or_weights_are_a_contradiction(
    report_json: Path, change: dict[str, Any]
) -> None:
    runs = report_json.parent / "runs"
    save([dataclasses.replace(done(60.12), **change).sealed()], runs)
    with pytest.raises(UserError, match="made from the same inputs") as refused:
        find_records([runs])
    assert str(refused.value).count("record.json") == 2 and "\n" not in str(refused.value)


def test_one_trial_copied_to_another_seed_is_named_whatever_its_inputs_are_said_to_be(report_json: Path) -> None:
    runs = report_json.parent / "runs"
    first = TrialRecord.load(record_of(report_json, "twist", 0))
    save([dataclasses.replace(first, seed=7, inputs_sha256="b" * 64).sealed()], runs)
    report = build_report(find_records([runs]))
    report_json.write_text(render_json(report, ["runs"]))
    (line,) = verify(report_json).edited
    assert line.endswith("seed 7: figures, time and memory are those of seed 0, a copy")
    assert any("Not a trial of its own" in warning for warning in build_document(report).warnings)


def test_a_record_of_the_older_schema_is_said_to_be_sealed_in_part(tmp_path: Path) -> None:
    record = dataclasses.replace(done(60.0), schema_version=1, seal="")
    records = [dataclasses.replace(record, metrics_sha256=record.figures_sha256())]
    save(records, tmp_path / "runs")
    path = tmp_path / "report.json"
    path.write_text(render_json(build_report(records), ["runs"]))
    found = verify(path)
    assert found.holds and len(found.sealed_in_part) == 1
    assert "sealed in part: 1 record of the older schema" in in_words(found, path)
    warnings = build_document(build_report(records)).warnings
    assert any(warning.startswith("1 record of the older schema is sealed in part") for warning in warnings)


def test_records_may_be_elsewhere_than_the_report_says(report_json: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    (report_json.parent / "runs").rename(moved)
    with pytest.raises(UserError, match="not a folder"):
        verify(report_json)
    assert verify(report_json, [moved]).holds


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 3, "sources": []}'])
def test_what_is_no_report_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"is not a report\.json of this program"):
        verify(path)


def test_the_verdict_says_how_many_values_follow(report_json: Path) -> None:
    found = verify(report_json)
    assert in_words(found, report_json).splitlines() == [
        "no ledger: whether trials were left out cannot be seen",
        f"{report_json}: all {found.num_cells} values follow from the records",
    ]
    lost = Verification(num_cells=5, differing=("a: x",), edited=("b",), sealed_in_part=())
    assert in_words(lost, report_json).splitlines() == [
        "differs: a: x",
        "edited: b",
        f"{report_json}: 1 value of 5 differ, 1 mark of editing",
    ]
