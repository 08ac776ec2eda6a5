"""Records of before the move into rooms are read and reported as before; their report is of an older version.

``tests/records/before-the-rooms.tar.gz`` is what ``tools/report.sh --pack`` of commit 64ea186 wrote over 28 trials of
the demo; of their weights' paths only the beginning was changed.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tests.conftest import ROOT, run_module
from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.report.read.archive import read_archive
from transfer.report.read.trials import find_trials
from transfer.report.write.data import SCHEMA_VERSION

ARCHIVE = ROOT / "tests/records/before-the-rooms.tar.gz"
VERDICT = ("on_protocol", "deviations")


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def figures(table: list[dict[str, str]]) -> list[tuple[str, ...]]:
    """The rows without what depends on today's protocol version."""
    return sorted(tuple(value for name, value in row.items() if name not in VERDICT) for row in table)


def test_every_record_is_read_sealed_and_written_again_byte_for_byte() -> None:
    files = read_archive(ARCHIVE)
    records = {name: content for name, content in files.items() if name.endswith("record.json")}
    assert len(records) == len(find_trials([ARCHIVE])) == 28
    for name, content in records.items():
        record = TrialRecord.from_bytes(content, name)
        assert record.seal_holds and record.stated_seal == record.metrics_sha256
        assert record.to_text().encode() == content


def test_the_old_report_is_refused_by_its_version_and_the_new_one_has_its_figures(tmp_path: Path) -> None:
    old = {name.removeprefix("report/"): content for name, content in read_archive(ARCHIVE).items()}
    (tmp_path / "report.json").write_bytes(old["report.json"])
    refused = run_module("transfer.commands.report", "--verify", tmp_path / "report.json", ARCHIVE, cwd=tmp_path)
    expected = f"(schema version 3, this program reads {SCHEMA_VERSION})"
    assert refused.returncode == 2 and expected in refused.stderr, refused.stderr

    done = run_module(
        "transfer.commands.report", ARCHIVE, "--baseline", "random", "--out", tmp_path / "new", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    verified = run_module("transfer.commands.report", "--verify", tmp_path / "new/report.json", ARCHIVE, cwd=tmp_path)
    assert "values follow from the records" in verified.stdout, verified.stdout + verified.stderr
    assert "sealed in part: 28 records of the older schema" in verified.stdout
    before, after = rows(old["report.csv"]), rows((tmp_path / "new/report.csv").read_bytes())
    assert figures(before) == figures(after) and len(before) == 90
    current = [
        [row for row in table if row["protocol_version"] == str(BENCHMARKS[row["benchmark"]].protocol_version)]
        for table in (before, after)
    ]
    assert current[0] == current[1] and {"demo-seg"} == {row["benchmark"] for row in current[0]}
