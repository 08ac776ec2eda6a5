"""Archives of records: the same content gives the same bytes, nothing hostile is read, contradictions are refused."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.report_records import done, failed, save, trials
from transfer.record import Metric
from transfer.report.read import archive
from transfer.report.read.trials import find_records
from transfer.report.write.pack import pack, record_name
from twist_common.errors import UserError


def packed(path: Path, values: list[float], **names: str) -> Path:
    pack(path, trials(values, **names), {"report.json": b"{}\n"})
    return path


def rewritten(source: Path, target: Path, change: dict[str, bytes | tarfile.TarInfo]) -> Path:
    """A copy with members replaced or added."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for entry in old.getmembers():
            if entry.name not in change:
                new.addfile(entry, old.extractfile(entry))
        for name, content in change.items():
            if isinstance(content, tarfile.TarInfo):
                new.addfile(content)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                new.addfile(entry, io.BytesIO(content))
    return target


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    records = [*trials([1.0, 2.0]), failed(seed=2)]
    pack(tmp_path / "a.tar.gz", records, {})
    assert find_records([tmp_path / "a.tar.gz"]) == records


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    first, second = packed(tmp_path / "a.tar.gz", [1.0, 2.0]), packed(tmp_path / "b.tgz", [1.0, 2.0])
    assert first.read_bytes() == second.read_bytes()


def test_archives_of_several_machines_and_folders_are_merged(tmp_path: Path) -> None:
    a = packed(tmp_path / "a.tar.gz", [1.0, 2.0])
    b = packed(tmp_path / "b.tar.gz", [3.0], weights="other")
    runs = save([done(4.0, seed=7)], tmp_path / "runs")
    assert sorted(record.metrics["miou"].value for record in find_records([a, b, runs])) == [1.0, 2.0, 3.0, 4.0]


def test_the_same_trial_in_two_sources_counts_once_if_it_ended_the_same_way(tmp_path: Path) -> None:
    elsewhere = [dataclasses.replace(record, device="another", wall_seconds=1.0) for record in trials([1.0, 2.0])]
    runs = save(elsewhere, tmp_path / "runs")
    assert len(find_records([packed(tmp_path / "a.tar.gz", [1.0, 2.0]), runs])) == 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (dataclasses.replace(done(2.0), metrics={"miou": Metric(value=2.000001)}), "different metrics"),
        (done(2.0, config_sha256="f" * 64), "different configs"),
        (failed(seed=0), "different outcomes"),
        (done(2.0, inputs_sha256="0" * 64), "different inputs"),
        (done(2.0, inflated={"miou": 3.0}), "different inflated references"),
    ],
)
def test_contradictions_are_refused_naming_both(tmp_path: Path, other: object, words: str) -> None:
    a = packed(tmp_path / "a.tar.gz", [2.0])
    runs = save([other], tmp_path / "runs")  # type: ignore[list-item]
    with pytest.raises(UserError, match=rf"runs/demo.*a\.tar\.gz:records/demo.*same trial.*{words}"):
        find_records([a, runs])


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, "/etc/passwd"
    return entry


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"../evil": b"x"}, "leads out of it"),
        ({"/etc/evil": b"x"}, "leads out of it"),
        ({"records/../../evil": b"x"}, "leads out of it"),
        ({"evil": link("evil", tarfile.SYMTYPE)}, "not a plain file"),
        ({"evil": link("evil", tarfile.LNKTYPE)}, "not a plain file"),
        ({"evil": link("evil", tarfile.CHRTYPE)}, "not a plain file"),
        ({"evil": link("evil", tarfile.FIFOTYPE)}, "not a plain file"),
        ({"evil": b"x"}, "'evil' is in the manifest or in the archive, not in both"),
        ({"report/report.json": b"{ }"}, "is not what the manifest says"),
        ({"manifest.json": b"{}"}, "cannot read"),
        ({"manifest.json": b"[1"}, "cannot read"),
    ],
)
def test_hostile_or_changed_archives_are_refused(
    tmp_path: Path, change: dict[str, bytes | tarfile.TarInfo], words: str
) -> None:
    good = packed(tmp_path / "good.tar.gz", [1.0])
    bad = rewritten(good, tmp_path / "bad.tar.gz", change)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=words):
        find_records([bad])
    assert sorted(tmp_path.rglob("*")) == before


def test_one_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = packed(tmp_path / "good.tar.gz", [1.0])
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 100)
    with pytest.raises(UserError, match="MiB a file"):
        find_records([good])


def test_what_decompresses_to_more_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = packed(tmp_path / "good.tar.gz", [1.0])
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 4096)
    with pytest.raises(UserError, match="holds more than"):
        find_records([good])


def test_a_bomb_in_a_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = tarfile.TarInfo("records/a/record.json")
    entry.pax_headers = {"comment": "x" * (4 << 20)}
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as bomb:
        bomb.addfile(entry)
    assert (tmp_path / "bomb.tar.gz").stat().st_size < 20_000
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 1 << 20)
    with pytest.raises(UserError, match="holds more than"):
        find_records([tmp_path / "bomb.tar.gz"])


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + b"\0" * 50])
def test_what_is_no_archive_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.tar\.gz"):
        find_records([path])


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    good = packed(tmp_path / "good.tar.gz", [1.0, 2.0, 3.0])
    content = good.read_bytes()
    for size in (len(content) // 3, len(content) - 20):
        (tmp_path / "cut.tar.gz").write_bytes(content[:size])
        with pytest.raises(UserError, match=r"cut\.tar\.gz"):
            find_records([tmp_path / "cut.tar.gz"])


def test_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.tar\.gz"):
        find_records([tmp_path / "absent.tar.gz"])


def test_an_archive_without_records_is_an_error(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar.gz", [], {"report.json": b"{}"})
    with pytest.raises(UserError, match=r"no record\.json in"):
        find_records([tmp_path / "a.tar.gz"])


def test_names_in_records_cannot_lead_out_of_the_archive(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar.gz", [done(1.0, suite="../..", weights="../x")], {})
    with tarfile.open(tmp_path / "a.tar.gz") as packed_file:
        assert all(".." not in Path(name).parts for name in packed_file.getnames())
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        record_name(done(1.0, suite=".."))


def test_the_manifest_lists_every_file_with_its_hash(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", [1.0])
    with tarfile.open(path) as opened:
        names = opened.getnames()
        member = opened.extractfile("manifest.json")
        assert member is not None
        manifest = json.load(member)
    assert sorted(manifest["files"]) == sorted(set(names) - {"manifest.json"})
    assert all(len(entry["sha256"]) == 64 for entry in manifest["files"].values())


def test_an_archive_needs_its_ending(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not end in \.tar\.gz"):
        pack(tmp_path / "a.zip", trials([1.0]), {})
