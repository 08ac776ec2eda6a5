"""Pictures in the page: whose they are, what becomes of missing and hostile files, and their way through archives."""

from __future__ import annotations

import base64
import re
import tarfile
from pathlib import Path

import pytest

from tests.report_records import done, failed, folder_of, save, save_picture, trials
from transfer.commands.report import Args, main, write_report
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.lay_out import strips as pictures
from transfer.report.lay_out.strips import Strip, build_strips
from transfer.report.read import archive
from transfer.report.read.trials import MAX_PICTURE_BYTES, find_trials
from twist_common.errors import UserError

NAMES = ["work/pictures/b.jpg", "work/pictures/a.png"]


def with_pictures(records: list[TrialRecord], root: Path, *, grey: int = 0) -> list[bytes]:
    """Saves the records and their pictures; the content of the pictures in the order of the records."""
    save(records, root)
    return [
        save_picture(record, root, name, grey=grey + 10 * index)
        for index, record in enumerate(records)
        for name in record.pictures
    ]


def strips(*sources: Path) -> tuple[Strip | None, ...]:
    found = find_trials(sources)
    return build_strips(build_report([trial.record for trial in found]), found)


def strip(*sources: Path) -> Strip:
    (only,) = strips(*sources)
    assert only is not None
    return only


def embedded(page: Path) -> list[bytes]:
    return [base64.b64decode(code) for code in re.findall(r'src="data:image/\w+;base64,([^"]+)"', page.read_text())]


def test_each_initialisation_shows_its_first_done_trial_baseline_first_in_the_records_order(tmp_path: Path) -> None:
    twist = [failed(seed=0, pictures=NAMES), *(done(60.0 + seed, seed=seed, pictures=NAMES) for seed in (1, 2))]
    baseline = trials([50.0, 51.0], weights="random", pictures=NAMES)
    first, second = with_pictures(baseline, tmp_path), with_pictures(twist, tmp_path, grey=100)
    rows = strip(tmp_path).rows
    assert [row.label for row in rows] == ["random (baseline), seed 0", "twist (1 of 3 failed), seed 1"]
    shown = [picture.content for row in rows for picture in row.pictures if picture]
    assert shown == [*first[:2], *second[2:4]]  # the failed trial has drawn some too, from an earlier attempt
    assert embedded(write_report([tmp_path])[1]) == shown


@pytest.mark.parametrize(
    ("benchmark", "words"),
    [
        ("demo-seg", "annotation in the middle, prediction right"),
        ("demo-voc", "as many detections right"),
        ("unheard-of", "truth left, prediction right"),
    ],
)
def test_caption_and_alt_say_what_is_left_and_right_and_whose_it_is(tmp_path: Path, benchmark: str, words: str) -> None:
    metrics = {"box_ap50": 60.0, "miou": 60.0}
    with_pictures([done(metrics, benchmark=benchmark, seed=4, pictures=NAMES)], tmp_path)
    found = strip(tmp_path)
    assert words in found.caption and "the same test images in the same order" in found.caption
    alts = [picture.alt for picture in found.rows[0].pictures if picture]
    assert [alt.split(":")[0] for alt in alts] == ["twist, seed 4, image b", "twist, seed 4, image a"]
    assert all(words in alt for alt in alts)


def test_other_images_are_not_called_the_same(tmp_path: Path) -> None:
    records = [done(60.0, pictures=NAMES), done(50.0, weights="random", pictures=["c.png"])]
    with_pictures(records, tmp_path)
    assert "not the same for all" in strip(tmp_path).caption


def test_benchmarks_without_pictures_have_no_strip(tmp_path: Path) -> None:
    save([done(60.0), failed(seed=1, weights="other", pictures=NAMES)], tmp_path)
    assert strips(tmp_path) == (None,)
    assert "<img" not in write_report([tmp_path])[1].read_text()


def test_a_missing_picture_is_a_sentence_and_keeps_its_place(tmp_path: Path) -> None:
    record = done(60.0, pictures=NAMES)
    kept = with_pictures([record], tmp_path)[1]
    (folder_of(record, tmp_path) / NAMES[0]).unlink()
    (row,) = strip(tmp_path).rows
    assert row.note == "1 of 2 pictures missing beside the record, or unreadable"
    assert row.pictures[0] is None and row.pictures[1] is not None
    page = write_report([tmp_path])[1]
    assert embedded(page) == [kept] and row.note in page.read_text()


def test_a_trial_whose_pictures_are_all_lost_keeps_its_row_with_a_sentence(tmp_path: Path) -> None:
    save([done(60.0, pictures=NAMES)], tmp_path)
    text = write_report([tmp_path])[1].read_text()
    assert "twist, seed 0: 2 of 2 pictures missing beside the record, or unreadable" in text
    assert "<img" not in text and "no picture</span>" not in text


@pytest.mark.parametrize(
    "name", ["../secret.png", "/secret.png", "work/../../secret.png", "link.png", "a.txt", "\0.png"]
)
def test_nothing_outside_the_trial_and_nothing_but_pictures_is_embedded(tmp_path: Path, name: str) -> None:
    record = done(60.0, pictures=[str(tmp_path / "secret.png") if name.startswith("/") else name])
    save([record], tmp_path / "runs")
    folder = folder_of(record, tmp_path / "runs")
    for secret in (tmp_path / "secret.png", folder.parent / "secret.png"):
        secret.write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\ntext")
    (row,) = strip(tmp_path / "runs").rows
    assert row.pictures == (None,)


@pytest.mark.parametrize(
    "content", [b"", b"<svg onload='alert(1)'/>", b"GIF89a", b"\xff\xd8\xff" + b"\0" * MAX_PICTURE_BYTES]
)
def test_what_is_no_picture_or_too_large_is_not_embedded(tmp_path: Path, content: bytes) -> None:
    record = done(60.0, pictures=["a.jpg"])
    save([record], tmp_path)
    (folder_of(record, tmp_path) / "a.jpg").write_bytes(content)
    assert strip(tmp_path).rows[0].pictures == (None,)


def test_more_than_two_initialisations_are_folded(tmp_path: Path) -> None:
    records = [done(60.0, weights=name, pictures=NAMES) for name in ("random", "twist", "moco")]
    with_pictures(records[:2], tmp_path)
    assert "<summary>Pictures of" not in write_report([tmp_path])[1].read_text()
    with_pictures(records[2:], tmp_path)
    assert "<summary>Pictures of 3 initialisations</summary>" in write_report([tmp_path])[1].read_text()


def test_a_page_that_would_grow_too_large_says_so_in_place_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [done(60.0, pictures=NAMES), done({"box_ap50": 60.0}, benchmark="demo-voc", pictures=NAMES)]
    contents = with_pictures(records, tmp_path)
    monkeypatch.setattr(pictures, "MAX_PAGE_BYTES", sum(map(len, contents)) - 1)
    page = write_report([tmp_path])[1]
    assert len(embedded(page)) == len(NAMES)
    assert page.read_text().count("The pictures are left out") == 1


def test_archives_carry_what_the_page_shows_and_give_the_same_page(tmp_path: Path) -> None:
    contents = with_pictures(trials([60.0, 61.0], pictures=NAMES), tmp_path / "runs")
    packed = tmp_path / "a.tar.gz"
    assert main(Args(runs=(tmp_path / "runs",), pack=packed)) == 0
    with tarfile.open(packed) as opened:
        found = [name for name in opened.getnames() if name.startswith("records/") and "/work/" in name]
    assert [name.split("/", 4)[-1] for name in found] == [f"trial-0/{name}" for name in sorted(NAMES)]
    page = write_report([packed], out=tmp_path / "out")[1]
    assert embedded(page) == contents[: len(NAMES)]
    assert page.read_bytes() == write_report([tmp_path / "runs"])[1].read_bytes()


def test_a_picture_changed_in_an_archive_is_refused(tmp_path: Path) -> None:
    with_pictures([done(60.0, pictures=NAMES)], tmp_path / "runs")
    main(Args(runs=(tmp_path / "runs",), pack=tmp_path / "a.tar.gz"))
    files = {}
    with tarfile.open(tmp_path / "a.tar.gz") as old, tarfile.open(tmp_path / "b.tar.gz", "w:gz") as new:
        for entry in old.getmembers():
            if entry.name.endswith("b.jpg"):
                entry.size -= 1
                files[entry.name] = entry
            new.addfile(entry, old.extractfile(entry))
    assert len(files) == 1
    with pytest.raises(UserError, match=r"b\.jpg' is not what the manifest says"):
        archive.read_archive(tmp_path / "b.tar.gz")


def test_pictures_of_clustering_have_captions_and_room_and_the_likely_classes_come_first(tmp_path: Path) -> None:
    names = [f"work/{stem}.png" for stem in ("confusion", "usage", "top3")]
    with_pictures([done({"nmi": 60.0}, benchmark="demo-cluster", pictures=names)], tmp_path)
    found = strip(tmp_path)
    assert found.large and "truth left" not in found.caption
    shown = [(Path(picture.name).stem, picture.caption.split(":")[0]) for picture in found.rows[0].pictures if picture]
    assert shown == [
        ("top3", "Test images with their three most likely classes"),
        ("confusion", "Confusion matrix"),
        ("usage", "Use of the clusters"),
    ]
    page = write_report([tmp_path])[1]
    assert len(embedded(page)) == 3 and page.read_text().count("<figcaption>Confusion matrix") == 1


def test_a_clustering_picture_that_is_lost_is_said(tmp_path: Path) -> None:
    record = done({"nmi": 60.0}, benchmark="demo-cluster", pictures=["work/top3.png", "work/usage.png"])
    save([record], tmp_path)
    save_picture(record, tmp_path, "work/usage.png")
    (row,) = strip(tmp_path).rows
    assert "1 of 2 pictures missing" in row.note and row.num_shown == 1
    assert "1 of 2 pictures missing" in write_report([tmp_path])[1].read_text()
