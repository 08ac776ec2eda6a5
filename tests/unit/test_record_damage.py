"""Damaged and hostile records: one sentence that names the file, in bounded time and memory, never a traceback."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.report_records import done, failed
from transfer.commands.report import write_report
from transfer.record import TrialRecord
from transfer.report.read import archive
from transfer.report.read.trials import find_records
from twist_common.errors import UserError

RECORD = json.loads(done(60.12, norm_batch=16, inflated={"miou": 61.0}, references={"none": {"miou": 40.0}}).to_text())
SCORING = {"split": "val", "num_images": 10, "purpose": "final scoring"}
DEEP = "[" * 900 + "]" * 900


def damaged(*path: str, value: Any) -> str:
    """The record's text with another value at a path."""
    content = json.loads(json.dumps(RECORD))
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(content)


DAMAGE = {
    "500 %": damaged("metrics", "miou", "value", value=500.0),
    "-5 %": damaged("metrics", "miou", "value", value=-5.0),
    "true for a figure": damaged("metrics", "miou", "value", value=True),
    "text for a figure": damaged("metrics", "miou", "value", value="60.12"),
    "figure without its object": damaged("metrics", "miou", value=60.12),
    "NaN": damaged("metrics", "miou", "value", value=float("nan")),
    "infinite in a ledger": damaged("test_scorings", value=[SCORING | {"num_images": float("inf")}]),
    "1e999": damaged("wall_seconds", value=1.5).replace("1.5", "1e999"),
    "direction": damaged("metrics", "miou", "direction", value="sideways"),
    "seed -5": damaged("seed", value=-5),
    "more repeats than test images": damaged("repeats", value={"test_images": 9, "near_duplicates": 10, "exact": 0}),
    "repeats below 0": damaged("repeats", value={"test_images": 9, "near_duplicates": 1, "exact": -1}),
    "seed true": damaged("seed", value=True),
    "seed 0.5": damaged("seed", value=0.5),
    "seed of 200 digits": damaged("seed", value=10**200),
    "seed of 9,000 digits": damaged("seed", value=7).replace('"seed": 7', f'"seed": {"9" * 9000}'),
    "suite a number": damaged("suite", value=3),
    "suite empty": damaged("suite", value=""),
    "name of control characters": damaged("weights", "name", value="\x1b[31m\0"),
    "half a surrogate pair": damaged("weights", "name", value="\ud800"),
    "name of a million characters": damaged("weights", "name", value="x" * 1_000_000),
    "300,000 metrics": damaged("metrics", value={f"m{index}": RECORD["metrics"]["miou"] for index in range(300_000)}),
    "5,000 metrics": damaged("metrics", value={f"m{index}": RECORD["metrics"]["miou"] for index in range(5_000)}),
    "metrics a list": damaged("metrics", value=[1]),
    "weights a list": damaged("weights", value=[]),
    "weights without a name": damaged("weights", value={"sha256": "a" * 64}),
    "hash": damaged("weights", "sha256", value="../../etc"),
    "references of texts": damaged("references", value={"none": {"miou": "x"}}),
    "references of 500 %": damaged("references", value={"none": {"miou": 500}}),
    "inflated a list": damaged("inflated", value=[1]),
    "pictures of numbers": damaged("pictures", value=[1]),
    "test scoring a number": damaged("test_scorings", value=[1]),
    "test scoring of -1 images": damaged("test_scorings", value=[SCORING | {"num_images": -1}]),
    "test scoring of a list": damaged("test_scorings", value=[SCORING | {"split": ["val"]}]),
    "protocol difference a text": damaged("protocol_difference", value="none"),
    "standing": damaged("standing", value="excellent"),
    "packages of numbers": damaged("packages", value={"torch": 2}),
    "proof a list": damaged("weights", "proof", value=[]),
    "proof without differences": damaged("weights", "proof", value={"stages": {"stem": {}}}),
    "proof of numbers": damaged("weights", "proof", value={"stages": {"stem": 1}}),
    "proof's stages a list": damaged("weights", "proof", value={"stages": [1]}),
    "negative cost": damaged("wall_seconds", value=-1.0),
    "memory a text": damaged("peak_bytes", value="much"),
    "dirty a number": damaged("git_dirty", value=1),
    "done with no figure": damaged("metrics", value={}),
    "failed with a figure": damaged("status", value="failed"),
    "status": damaged("status", value=["done"]),
    "schema version true": damaged("schema_version", value=True),
    "unknown field": damaged("verdict", value=1),
    "deep choices": damaged("choices", value={"deep": "HERE"}).replace('"HERE"', DEEP),
    "deeper than the stack": "[" * 2_000_000,
    "40 deep": damaged("choices", value={"deep": "HERE"}).replace('"HERE"', "[" * 40 + "]" * 40),
    "a name twice": damaged("seed", value=0).replace('"seed": 0', '"seed": 1, "seed": 0'),
    "a million lists": damaged("choices", value={"many": "HERE"}).replace('"HERE"', f"[{'[],' * 1_000_000}[]]"),
    "huge": damaged("resolved_config", value="x" * (5 << 20)),
    "no object": "null",
    "nothing": "",
    "no UTF-8": "\udcff",
}


@pytest.mark.parametrize("text", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_record_is_one_sentence_soon_and_in_little_memory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(UserError, match=r"record\.json") as refused:
        find_records([tmp_path])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600 + len(str(path))
    assert time.monotonic() - started < 10 and peak < 500 << 20


def test_figures_below_chance_and_failed_trials_are_read() -> None:
    for record in (done({"silhouette": -2.7, "ari": -0.1}, benchmark="demo-cluster"), failed(seed=1)):
        assert TrialRecord.from_bytes(record.to_text().encode(), "here") == record


def test_a_pipe_named_like_a_record_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "record.json")
    with pytest.raises(UserError, match="not a plain file"):
        find_records([tmp_path])


def test_a_sparse_member_is_refused_before_it_becomes_large(tmp_path: Path) -> None:
    header = tarfile.TarInfo("records/a/record.json")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % (60 << 20)  # the real size, of a member that takes no block
    block[386:482] = bytes(96)
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:512]) + 8 * 32)
    with tarfile.open(tmp_path / "sparse.tar.gz", "w:gz") as bomb:
        bomb.fileobj.write(bytes(block) * 40)  # type: ignore[union-attr]
    assert (tmp_path / "sparse.tar.gz").stat().st_size < 2_000
    tracemalloc.start()
    with pytest.raises(UserError, match="is not a plain file"):
        find_records([tmp_path / "sparse.tar.gz"])
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_an_archive_of_very_many_names_is_refused_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 1_000)
    entries = b"".join(tarfile.TarInfo(f"records/{index}").tobuf() for index in range(3_000))
    with tarfile.open(tmp_path / "many.tar.gz", "w:gz") as many:
        many.fileobj.write(entries)  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"at 'records/1000' it exceeds .* 1000 files"):
        find_records([tmp_path / "many.tar.gz"])


def test_a_damaged_manifest_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for content in (b"[" * 100_000, b'{"format": 1, "format": 2}', b'{"files": 1e999}'):
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as packed:
            packed.addfile(entry, io.BytesIO(content))
        with pytest.raises(UserError, match=r"cannot read .*a\.tar\.gz as an archive"):
            find_records([tmp_path / "a.tar.gz"])


def test_any_value_anywhere_in_a_record_is_reported_or_refused_by_name(tmp_path: Path) -> None:
    hypothesis = pytest.importorskip("hypothesis")
    from hypothesis import strategies as st

    places: list[tuple[str, ...]] = []

    def add(value: Any, path: tuple[str, ...]) -> None:
        for name, inner in value.items() if isinstance(value, dict) else ():
            places.append((*path, name))
            add(inner, (*path, name))

    add(RECORD, ())
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**400, 1e308])
    values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
    path = tmp_path / "runs" / "record.json"
    path.parent.mkdir()

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @hypothesis.given(st.sampled_from(places), values)
    def holds(place: tuple[str, ...], value: Any) -> None:
        path.write_text(damaged(*place, value=value))
        try:
            record = TrialRecord.load(path)
        except UserError as refused:
            assert "record.json is not a trial record" in str(refused) and "\n" not in str(refused)
            return
        assert TrialRecord.from_bytes(record.to_text().encode(), "again") == record
        write_report([path.parent], out=tmp_path / "report")

    holds()
