"""The runs' ledger: a line for every start and end, and what of the records contradicts it."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from tests.report_records import done, failed, save, trials
from tests.trial_runs import plans
from transfer.commands.report import Args, main
from transfer.ledger import LEDGER_NAME, Entry, read_ledger, trial_path
from transfer.record import TrialRecord
from transfer.report.compare.model import Report
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.read.evidence import find_evidence
from transfer.report.read.trials import find_records
from transfer.report.verify import verify
from transfer.report.write.data import render_json
from transfer.report.write.pack import pack
from transfer.trials.run_ledger import last_start, note_end, note_start
from twist_common.errors import UserError
from twist_common.files import sha256_bytes


def noted(records: list[TrialRecord], runs: Path) -> list[TrialRecord]:
    """The records as runners write them: each names the line of its start, and the ledger has its end."""
    runs.mkdir(exist_ok=True)
    path = runs / LEDGER_NAME
    written = []
    for record in records:
        facts = {
            "trial": trial_path(record),
            "inputs_sha256": record.inputs_sha256,
            "time": "2026-11-26T12:00:00+00:00",
        }
        started = Entry(event="started", previous=head(path), **facts).to_line()
        path.open("ab").write(started)
        sealed = dataclasses.replace(record, ledger=sha256_bytes(started[:-1])).sealed()
        metrics = {name: metric.value for name, metric in record.metrics.items()}
        ended = Entry(event=record.status, seal=sealed.seal, metrics=metrics, previous=head(path), **facts)
        path.open("ab").write(ended.to_line())
        written.append(sealed)
    save(written, runs)
    return written


def head(path: Path) -> str:
    return read_ledger(path.read_bytes() if path.exists() else b"", "here").head


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three trials of twist, one that failed, and three of random weights; reported."""
    noted([*trials([60.12, 61.0, 58.5]), failed(seed=3), *trials([50, 51, 52.0], weights="random")], tmp_path / "runs")
    reported(tmp_path / "runs")
    return tmp_path / "runs"


def reported(source: Path, to: Path | None = None) -> Report:
    """The report of one folder or archive, and its ``report.json`` alone."""
    report = build_report(find_records([source]), evidence=find_evidence([source]))
    folder = to or source
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(render_json(report, [os.path.relpath(source, folder)]))
    return report


def faults(runs: Path) -> str:
    reported(runs)
    found = verify(runs / "report.json")
    assert not found.differing and not found.holds
    return "\n".join(found.ledger)


def trial(runs: Path, seed: int) -> Path:
    (found,) = runs.glob(f"demo/demo-seg/twist-*/trial-{seed}")
    return found


def test_records_that_are_all_there_agree_with_their_ledger(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(runs / "report.json")
    assert found.holds and found.ledger == () and found.has_ledger
    assert "ledger of 14 lines" in build_document(reported(runs)).lead
    assert main(Args((), verify=runs / "report.json")) == 0
    assert "no ledger" not in capsys.readouterr().out


def test_a_dropped_seed_is_named_with_its_figure_though_the_report_was_made_without_it(runs: Path) -> None:
    shutil.rmtree(trial(runs, 2))
    assert "trial-2 was done with miou 58.5; its record is gone" in faults(runs)
    assert any(line.startswith("Ledger: demo/demo-seg/twist") for line in build_document(reported(runs)).warnings)


def test_a_dropped_failure_is_named(runs: Path) -> None:
    shutil.rmtree(trial(runs, 3))
    assert "trial-3 failed; its record is gone" in faults(runs)


def test_the_folder_of_one_benchmark_and_an_archive_have_their_part_of_the_ledger(runs: Path, tmp_path: Path) -> None:
    noted([done(70.0, benchmark="demo-voc")], runs)
    folder, packed, unpacked = runs / "demo/demo-seg", tmp_path / "packed.tar.gz", tmp_path / "unpacked"

    def archived() -> Path:
        report = reported(folder)
        pack(packed, report.records, {}, evidence=report.evidence.files())
        reported(packed, unpacked)
        return unpacked / "report.json"

    for path in (archived(), folder / "report.json"):
        found = verify(path)
        assert found.holds and found.has_ledger, found
    shutil.rmtree(trial(runs, 2))
    for path in (archived(), folder / "report.json"):
        assert "trial-2 was done with miou 58.5; its record is gone" in "".join(verify(path).ledger)


def test_a_record_sealed_again_is_not_the_one_that_the_ledger_knows(runs: Path) -> None:
    path = trial(runs, 0) / "record.json"
    record = TrialRecord.load(path)
    dataclasses.replace(record, weights=dataclasses.replace(record.weights, proof=None)).sealed().save(path)
    assert "trial-0 was done with miou 60.12; its record is another" in faults(runs)


def test_a_record_copied_to_another_seed_and_sealed_again_has_no_line(runs: Path) -> None:
    record = TrialRecord.load(trial(runs, 0) / "record.json")
    copy = dataclasses.replace(record, seed=7, inputs_sha256="a" * 64, wall_seconds=61.0).sealed()
    save([copy], runs)
    assert "trial-7 has a record of which no ledger has a line" in faults(runs)


def test_a_line_taken_out_breaks_the_chain(runs: Path) -> None:
    lines = (runs / LEDGER_NAME).read_bytes().splitlines(keepends=True)
    (runs / LEDGER_NAME).write_bytes(b"".join([*lines[:4], *lines[6:]]))  # the start and the end of seed 2
    shutil.rmtree(trial(runs, 2))
    assert "line 5 does not follow from the line before it" in faults(runs)


def test_a_ledger_cut_at_a_lines_end_lacks_the_lines_of_the_last_trial(runs: Path) -> None:
    path = runs / LEDGER_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in (12, 13):  # without the last trial's lines, and without its end alone
        path.write_bytes(b"".join(lines[:kept]))
        assert faults(runs).endswith("trial-2 has a record of which no ledger has a line")


def test_the_ledger_of_another_run_has_no_line_of_these_records(runs: Path, tmp_path: Path) -> None:
    noted(trials([70.0, 71.0, 72.0], weights="moco_v2"), tmp_path / "other")
    shutil.copy(tmp_path / "other" / LEDGER_NAME, runs / LEDGER_NAME)
    found = faults(runs).splitlines()
    assert sum("has a record of which no ledger has a line" in line for line in found) == 7
    assert sum("its record is gone" in line for line in found) == 3


def test_a_ledger_chained_again_does_not_have_the_lines_that_the_records_name(runs: Path) -> None:
    entries = read_ledger((runs / LEDGER_NAME).read_bytes(), "here").entries
    stated = verify(runs / "report.json")
    shutil.rmtree(trial(runs, 0))
    lines: list[bytes] = []
    for entry in entries[2:]:
        previous = sha256_bytes(lines[-1][:-1]) if lines else ""
        lines.append(dataclasses.replace(entry, previous=previous).to_line())
    (runs / LEDGER_NAME).write_bytes(b"".join(lines))
    assert stated.holds
    assert "the last when the report was made, is no longer there" in "".join(verify(runs / "report.json").ledger)
    assert faults(runs).count("which is in no ledger") == 6


def test_records_that_name_a_ledger_that_is_gone_are_a_fault_and_others_have_no_ledger(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / LEDGER_NAME).unlink()
    assert faults(runs).count("which is in no ledger") == 7
    before = save(trials([60.0, 61.0, 62.0]), tmp_path / "before")
    assert "no ledger" in build_document(reported(before)).lead
    assert main(Args((), verify=before / "report.json")) == 0
    assert "no ledger: whether trials were left out cannot be seen" in capsys.readouterr().out


def test_a_trial_run_until_it_was_good_is_named_with_every_figure(runs: Path) -> None:
    shutil.rmtree(trial(runs, 2))
    noted([done(66.0, seed=2)], runs)
    (warning,) = reported(runs).ledger.chosen
    assert warning.endswith(
        "trial-2 was done 2 times with different figures: was done with miou 58.5; was done with miou 66"
    )
    assert verify(runs / "report.json").holds  # the records are those of the ledger's last lines


def test_a_damaged_ledger_is_refused_by_its_line(runs: Path) -> None:
    with (runs / LEDGER_NAME).open("ab") as file:
        file.write(b'{"event": "lost"}\n')
    with pytest.raises(UserError, match=r"ledger\.jsonl is not a ledger of trials \(line 15: "):
        reported(runs)


def test_a_line_torn_by_a_kill_is_passed_over_and_cut_off_by_the_next(tmp_path: Path) -> None:
    plan = plans(tmp_path, num_trials=1)[0]
    first = note_start(plan)
    path = plan.runs / LEDGER_NAME
    with path.open("ab") as file:
        file.write(b'{"event": "done", "trial": "te')
    torn = read_ledger(path.read_bytes(), "here")
    assert torn.torn and len(torn.entries) == 1 and torn.head == first == last_start(plan)
    note_start(plan)
    whole = read_ledger(path.read_bytes(), "here")
    assert not whole.torn and len(whole.entries) == 2 and whole.breaks() == []


def test_a_record_removed_by_hand_is_noted_when_its_trial_starts_again(tmp_path: Path) -> None:
    plan = plans(tmp_path, num_trials=1)[0]
    record = done(60.0)
    for _ in range(2):
        note_start(plan)
        note_end(plan, record)
    events = [entry.event for entry in read_ledger((plan.runs / LEDGER_NAME).read_bytes(), "here").entries]
    assert events == ["started", "done", "removed", "started", "done"]


def _many_starts(folder: Path) -> None:
    for plan in plans(folder, num_trials=10):
        note_start(plan)


def test_runners_that_write_at_once_leave_one_chain(tmp_path: Path) -> None:
    plans(tmp_path)
    processes = [multiprocessing.get_context("fork").Process(target=_many_starts, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    ledger = read_ledger((tmp_path / "runs" / LEDGER_NAME).read_bytes(), "here")
    assert len(ledger.entries) == 40 and ledger.breaks() == [] and not ledger.torn
    assert not list((tmp_path / "runs").glob(".*"))
