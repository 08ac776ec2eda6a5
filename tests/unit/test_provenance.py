"""What a record says about the CPU of its trial, on which its figures depend bit for bit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tests.report_records import done, trials
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.lay_out.provenance import cards, notes
from transfer.trials.provenance import cpu_model, processor, provenance

GENOA = "AMD EPYC (cpu family 25, model 17, stepping 1)"
ICE_LAKE = "Intel(R) Xeon(R) Processor (cpu family 6, model 106, stepping 6)"
DIFFERENT = "The trials compared here ran with different CPU models (see Provenance)."


def test_a_trial_records_the_cpu_it_ran_on() -> None:
    fields = provenance("cpu", 1.0)
    assert fields["processor"] == processor() != ""
    assert fields["device"].startswith("cpu ")  # which the planner compares, and which names no model


def test_a_model_is_its_name_with_its_numbers() -> None:
    found = {"model name": "AMD EPYC", "cpu family": "25", "model": "17", "stepping": "1", "flags": "fpu"}
    assert cpu_model(found) == GENOA
    assert cpu_model({"model name": "BCM2835"}) == "BCM2835"
    assert cpu_model({"CPU part": "0xd40"}) == ""


def test_a_record_without_the_cpu_is_read_and_written_as_before(tmp_path: Path) -> None:
    old, new = done(50.0), done(50.0, processor=GENOA)
    assert "processor" not in json.loads(old.to_text())
    assert json.loads(new.to_text())["processor"] == GENOA
    for record in (old, new):
        record.save(tmp_path / "record.json")
        assert TrialRecord.load(tmp_path / "record.json") == record
    assert old.figures_sha256() == new.figures_sha256()


def test_a_report_names_the_cpus_and_warns_where_they_differ() -> None:
    here = [dataclasses.replace(record, processor=GENOA) for record in trials([50.0, 51.0])]
    there = [dataclasses.replace(record, processor=ICE_LAKE) for record in trials([52.0, 53.0], weights="other")]
    mixed, alike, old = build_report([*here, *there]), build_report(here), build_report(trials([50.0, 51.0]))
    assert DIFFERENT in notes(mixed.benchmarks[0])
    assert DIFFERENT not in notes(alike.benchmarks[0]) + notes(old.benchmarks[0])
    assert dict(cards(alike)[0].facts)["CPU"] == GENOA
    assert "CPU" not in dict(cards(old)[0].facts)


def test_the_cpu_beside_gpus_changes_no_figure_and_is_no_warning() -> None:
    records = [done(50.0, device="NVIDIA H100 x 1", processor=GENOA)]
    records.append(done(51.0, seed=1, device="NVIDIA H100 x 1", processor=ICE_LAKE))
    assert DIFFERENT not in notes(build_report(records).benchmarks[0])
