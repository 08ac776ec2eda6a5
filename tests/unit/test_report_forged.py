"""Forged reports and records are caught by ``--verify`` and named: of a folder, of an archive and of a report.json."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report_records import done, folder_of, save, save_picture, trials
from transfer.commands.report import Args, main, write_report
from transfer.outcomes.file import packed
from transfer.outcomes.labels import Hits
from transfer.record import OUTCOMES_NAME
from transfer.report.read.archive import read_archive
from transfer.report.verify import in_words, verify
from transfer.report.write.markdown import FIGURES
from twist_common.errors import UserError
from twist_common.files import sha256_bytes, sha256_file

PICTURE = "work/pictures/0.png"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with pictures, its report in all forms, and beside it the archive of both."""
    runs = tmp_path_factory.mktemp("forged") / "runs"
    for record in [*trials([50.0, 51.0], weights="random-a"), *trials([60.0, 61.5])]:
        content = save_picture(record, runs, PICTURE, grey=int(record.metrics["miou"].value))
        save([dataclasses.replace(record, pictures=[PICTURE], files={PICTURE: sha256_bytes(content)}).sealed()], runs)
    write_report([runs])
    main(Args((runs,), pack=runs.parent / "packed.tar.gz"))
    return runs


@pytest.fixture
def forge(written: Path) -> Callable[[Path, bytes], tuple[str, ...]]:
    """Verifies the folder with another content in a file; then the file is as it was."""

    def forged(path: Path, content: bytes) -> tuple[str, ...]:
        before = path.read_bytes()
        try:
            assert content != before
            path.write_bytes(content)
            found = verify(written)
            assert not found.holds
            return found.edited
        finally:
            path.write_bytes(before)

    return forged


def test_folder_archive_and_json_hold_when_nothing_was_forged(written: Path) -> None:
    for path in (written, written / "report.json", written.parent / "packed.tar.gz"):
        found = verify(path)
        assert found.holds, (path, found)


def test_what_holds_no_report_is_refused_in_one_sentence(tmp_path: Path) -> None:
    save([done(60.0)], tmp_path)
    with pytest.raises(UserError, match=r"there is no .*report\.json: write the report"):
        verify(tmp_path)


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.tex", "report.csv"])
def test_an_edited_form_is_named(written: Path, forge: Callable[[Path, bytes], tuple[str, ...]], name: str) -> None:
    path = written / name
    (line,) = forge(path, path.read_bytes().replace(b"60.75", b"69.75").replace(b"61.5", b"69.5"))
    assert line.startswith(f"{name}: not what the records give")


def test_an_edited_plot_is_named(written: Path, forge: Callable[[Path, bytes], tuple[str, ...]]) -> None:
    path = next((written / FIGURES).glob("*.png"))
    (line,) = forge(path, path.read_bytes()[:-1] + b"x")
    assert line.startswith(f"{FIGURES}/{path.name}: not what the records give")


def test_an_edited_picture_of_a_trial_is_named_though_the_page_is_made_again(written: Path, tmp_path: Path) -> None:
    (path,) = written.glob(f"demo/demo-seg/twist-*/trial-0/{PICTURE}")
    before = path.read_bytes()
    try:
        save_picture(done(60.0), written, PICTURE, grey=200)
        write_report([written], out=tmp_path)
        (line,) = verify(tmp_path).edited
        assert line.endswith(f"seed 0: {PICTURE} is not the trial's")
        assert any(line.startswith("report.html") for line in verify(written).edited)
    finally:
        path.write_bytes(before)


def test_an_edited_page_in_an_archive_is_named_though_its_manifest_was_made_to_fit(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transfer.report.write import forms

    def rendered(*arguments: object, real: Callable[..., dict[str, bytes]] = forms.render_files) -> dict[str, bytes]:
        files = real(*arguments)
        return files | {"report.html": files["report.html"].replace(b"61.5", b"69.5")}

    monkeypatch.setattr(forms, "render_files", rendered)
    main(Args((written,), pack=tmp_path / "forged.tar.gz"))
    monkeypatch.undo()
    assert read_archive(tmp_path / "forged.tar.gz")  # the manifest fits
    (line,) = verify(tmp_path / "forged.tar.gz").edited
    assert line.startswith("report.html: not what the records give")


def test_metrics_that_the_outcomes_contradict_are_named_though_seal_and_report_were_made_to_fit(tmp_path: Path) -> None:
    hits = Hits(np.array([0, 1, 1, 0]), {"top1": np.array([True, True, False, True])})
    record = done({"top1": 75.0}, benchmark="demo-linear")
    path = folder_of(record, tmp_path) / OUTCOMES_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(packed(hits))
    for value, holds in ((75.0, True), (85.0, False)):
        forged = done({"top1": value}, benchmark="demo-linear", files={OUTCOMES_NAME: sha256_file(path)})
        save([forged], tmp_path)
        write_report([tmp_path])
        found = verify(tmp_path)
        assert found.holds == holds
    assert found.edited == (
        f"demo/demo-linear, twist-{record.weights.sha256[:8]}, seed 0: top1 is 85.0, its outcomes give 75.0",
    )


def test_outcomes_that_were_removed_are_said_not_to_be_checked(tmp_path: Path) -> None:
    save([done({"top1": 75.0}, benchmark="demo-linear", files={OUTCOMES_NAME: "a" * 64})], tmp_path)
    write_report([tmp_path])
    found = verify(tmp_path)
    assert len(found.unchecked) == 1
    assert "not checked: metrics of 1 trial against outcomes" in in_words(found, tmp_path)


def test_a_records_hash_that_was_emptied_in_the_report_is_named(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(re.sub(r'"record_sha256": "\w+"', '"record_sha256": ""', (written / "report.json").read_text()))
    assert len(verify(path, [written]).edited) == 4


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda content: content["records"][0].update(seal="0" * 64), "records 0, seal"),
        (lambda content: content["ledger"].update(num_lines=12), "ledger, num_lines"),
        (lambda content: content["benchmarks"].append(content["benchmarks"][0]), "benchmarks 1, suite"),
        (lambda content: content.update(state_of_the_art=True), "state_of_the_art"),
    ],
)
def test_what_no_page_shows_of_the_json_is_verified_too(
    written: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None], named: str
) -> None:
    content = json.loads((written / "report.json").read_text())
    edit(content)
    (tmp_path / "report.json").write_text(json.dumps(content))
    first, *_ = verify(tmp_path / "report.json", [written]).differing
    assert first.startswith(f"report.json, {named}: the report says ")


def swapped(first: Path, second: Path) -> None:
    ours, theirs = first.read_bytes(), second.read_bytes()
    first.write_bytes(theirs)
    second.write_bytes(ours)


def test_outcomes_and_records_that_changed_places_are_named(tmp_path: Path) -> None:
    for seed in range(2):
        hits = Hits(np.array([0, 1, 1, 0]), {"top1": np.array([True, True, False, seed == 0])})
        record = done(hits.metrics(), seed=seed, benchmark="demo-linear")
        path = folder_of(record, tmp_path) / OUTCOMES_NAME
        path.parent.mkdir(parents=True)
        path.write_bytes(packed(hits))
        save([dataclasses.replace(record, files={OUTCOMES_NAME: sha256_file(path)}).sealed()], tmp_path)
    write_report([tmp_path])
    for name in (OUTCOMES_NAME, "record.json"):
        swapped(*tmp_path.glob(f"demo/demo-linear/twist-*/trial-*/{name}"))
        edited = verify(tmp_path).edited
        assert [line.split(", ", 2)[2] for line in edited[:2]] == [
            f"seed {seed}: {OUTCOMES_NAME} is not the trial's" for seed in ((0, 1) if name == OUTCOMES_NAME else (1, 0))
        ]
        swapped(*tmp_path.glob(f"demo/demo-linear/twist-*/trial-*/{name}"))
    assert verify(tmp_path).holds


def test_a_protocol_difference_that_was_emptied_is_named(tmp_path: Path) -> None:
    off = done(60.0, protocol_difference=["LR: 0.1 -> 0.2"], standing="off protocol")
    path = folder_of(off, tmp_path) / "record.json"
    path.parent.mkdir(parents=True)
    dataclasses.replace(off, protocol_difference=[], standing="on protocol").save(path)
    write_report([tmp_path])
    (line,) = verify(tmp_path).edited
    assert line.endswith("its content is not that of its seal")
