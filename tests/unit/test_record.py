"""Records: what is written is what is read, and a figure that is not a number is never one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from transfer.record import Metric, Repeats, TrialRecord, WeightsInfo
from twist_common.errors import UserError

RECORD = TrialRecord(
    suite="demo",
    benchmark="demo-voc",
    protocol_version=1,
    seed=0,
    status="done",
    metrics={"box_ap": Metric(value=12.5)},
    weights=WeightsInfo(
        name="twist", sha256="ab" * 32, source="x.pth", source_format="twist-transfer", arch="resnet18", proof=None
    ),
    inputs_sha256="cd" * 32,
).sealed()


def test_a_record_survives_the_round_trip(tmp_path: Path) -> None:
    RECORD.save(tmp_path / "record.json")
    assert TrialRecord.load(tmp_path / "record.json") == RECORD


def test_repeats_are_kept_under_the_seal_and_older_records_have_none(tmp_path: Path) -> None:
    assert "repeats" not in RECORD.to_text()
    record = dataclasses.replace(RECORD, repeats=Repeats(test_images=150, near_duplicates=50, exact=48)).sealed()
    record.save(tmp_path / "record.json")
    read = TrialRecord.load(tmp_path / "record.json")
    assert read == record and read.seal_holds
    assert not dataclasses.replace(read, repeats=None).seal_holds


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="box_ap"):
        dataclasses.replace(RECORD, metrics={"box_ap": Metric(value=value)})


def test_a_done_record_without_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match="no metric"):
        dataclasses.replace(RECORD, metrics={})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("12.5", "NaN"),
        lambda text: text.replace('"schema_version": 2', '"schema_version": 99'),
        lambda text: text.replace('"seed"', '"sead"'),
        lambda text: json.dumps([1, 2]),
    ],
    ids=["truncated", "NaN", "other schema", "unknown field", "not an object"],
)
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "record.json"
    RECORD.save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=r"record\.json is not a trial record"):
        TrialRecord.load(path)
