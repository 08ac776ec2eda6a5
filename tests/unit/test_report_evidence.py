"""What stands beside the records: found below folders and in archives, shown, verified, and never silently wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.report_evidence import write_count, write_run
from tests.report_records import save, trials
from transfer.commands.report import Args, main, write_report
from transfer.record import Repeats
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.read import pretraining
from transfer.report.read.archive import read_archive
from transfer.report.read.evidence import Evidence, find_evidence
from transfer.report.read.preflights import FORMAT, VERSION
from transfer.report.read.trials import find_records
from transfer.report.verify import verify
from transfer.report.write.html import render_html
from transfer.report.write.markdown import render_markdown
from twist_common.errors import UserError

NOTE = {"recipe": "demo", "recipe_sha256": "a" * 64, "epochs": 7, "num_local_crops": 0, "backbone_sha256": "b" * 64}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    records = [*trials([50.0, 51.0, 53.0], weights="random-a"), *trials([60.0, 61.0, 62.5])]
    return save([record.sealed() for record in records], tmp_path / "runs")


def test_near_duplicates_are_told_beside_the_benchmarks_on_that_data_set_and_nowhere_else(runs: Path) -> None:
    write_count(runs)
    save(trials([70.0], benchmark="seg-voc"), runs)
    report = build_report(find_records([runs]), evidence=find_evidence([runs]))
    document = build_document(report)
    told = {section.heading: section.overlaps for section in document.sections}
    assert told["seg-voc"] == ()
    (sentence,) = told["demo-seg"]
    assert sentence == (
        "Of 1\u202f000 test images 3 have a near-duplicate among the 4\u202f000 pre-training images of "
        "imagefolder/train, 1 of them the same file (phash 64, distance up to 4)."
    )
    assert sentence in render_html(document) and sentence in render_markdown(document)
    assert any(table.caption.startswith("Near-duplicates") for table in document.provenance)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"version": 2},
        {"near_duplicates": -1},
        {"near_duplicates": 1001},
        {"test_images": 1000.5},
        {"exact": True},
        {"exact": 4},
        {"hash": None},
    ],
)
def test_a_count_that_is_none_is_refused_naming_the_file(runs: Path, change: dict[str, Any]) -> None:
    path = write_count(runs, **change)
    with pytest.raises(UserError, match=f"{path}.*near-duplicates"):
        find_evidence([runs])


def test_two_counts_of_the_same_images_that_disagree_are_refused(runs: Path, tmp_path: Path) -> None:
    write_count(runs)
    write_count(tmp_path / "more", examples=[])  # tells the same
    assert len(find_evidence([runs, tmp_path / "more"]).near_duplicates) == 1
    write_count(tmp_path / "more", near_duplicates=2)
    with pytest.raises(UserError, match="different results for digits"):
        find_evidence([runs, tmp_path / "more"])


def test_curves_keep_logged_values_only_and_the_first_and_last_of_them(tmp_path: Path) -> None:
    losses = [float(step**2) for step in range(1, 1001)]
    write_run(tmp_path / "long", losses)
    (run,) = find_evidence([tmp_path]).pretraining
    points = run.curves["loss"]
    assert len(points) == pretraining.MAX_POINTS and (points[0], points[-1]) == ((1, 1.0), (1000, 1e6))
    assert all(value == step**2 for step, value in points)
    assert run.curves["train_nmi"] == ((1000, 0.5),) and run.facts == {}


def test_a_line_that_a_kill_cut_is_left_out_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "cut", [1.0, 2.0]) / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"kind": "step", "step": 3, "lo')
    assert find_evidence([tmp_path]).pretraining[0].last_step == 2
    for broken in ('{"kind": "step", "step": 3, "loss": NaN}\n', "[]\n", '{"loss": 1}\n'):
        path.write_text(whole + broken)
        with pytest.raises(UserError, match=f"{path} does not hold the curves"):
            find_evidence([tmp_path])


def test_runs_of_one_name_are_numbered_and_copies_count_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "rn50", [1.0, 2.0])
    write_run(tmp_path / "b" / "rn50", [1.0, 3.0])
    write_run(tmp_path / "c" / "rn50", [1.0, 2.0])
    assert [run.label for run in find_evidence([tmp_path]).pretraining] == ["rn50", "rn50 #2"]


def test_evidence_survives_the_archive_and_the_merge_and_verifies(runs: Path, tmp_path: Path) -> None:
    write_count(runs)
    write_run(runs / "pretrain" / "demo", [2.0, 1.0], NOTE)
    before = find_evidence([runs])
    packed = tmp_path / "all.tar.gz"
    assert main(Args(runs=(runs,), pack=packed)) == 0
    assert find_evidence([packed]) == before == find_evidence([packed, runs])
    assert before.pretraining[0].facts == NOTE and len(before.near_duplicates) == 1
    for name, content in read_archive(packed).items():
        path = tmp_path / "there" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    report_json = tmp_path / "there" / "report" / "report.json"
    assert verify(report_json).holds
    (count,) = (tmp_path / "there" / "records" / "near-duplicates").iterdir()
    count.write_text(count.read_text().replace('"near_duplicates": 3', '"near_duplicates": 1'))
    assert [line.split(":")[0] for line in verify(report_json).differing] == [
        "near-duplicates, digits, imagefolder/train near_duplicates"
    ]


def test_a_machines_preflight_is_shown_and_kept_and_its_failures_are_a_warning(runs: Path, tmp_path: Path) -> None:
    checks = {
        "ddp": {"status": "fail", "detail": "exit code 1: no route", "seconds": 31.5, "remedy": "NCCL_DEBUG=INFO"},
        "fork": {"status": "pass", "detail": "a forked process computes on cuda", "seconds": 12.0},
    }
    content = {"format": FORMAT, "version": VERSION, "device": "8 x NVIDIA L4", "failed": ["ddp"], "checks": checks}
    (runs / "preflight").mkdir()
    (runs / "preflight" / "preflight.json").write_text(json.dumps(content))
    document = build_document(build_report(find_records([runs]), evidence=find_evidence([runs])))
    assert "The preflight of 8 x NVIDIA L4 failed: ddp." in document.warnings
    for page in (render_html(document), render_markdown(document)):
        assert "Preflight: 8 x NVIDIA L4" in page and "exit code 1: no route" in page and "31.5" in page
    write_report([runs])
    path = runs / "report.json"
    assert verify(path).holds
    path.write_text(path.read_text().replace('"status": "fail"', '"status": "pass"'))
    assert verify(path).differing == (
        'preflight 0, 8 x NVIDIA L4 0, status: the report says "pass", the records give "fail"',
    )
    packed = tmp_path / "all.tar.gz"
    assert main(Args(runs=(runs,), pack=packed)) == 0
    assert find_evidence([packed, runs]) == find_evidence([packed]) == find_evidence([runs])
    for change in ({"format": "another"}, {"checks": {"ddp": {**checks["ddp"], "status": "fine"}}}, {"checks": []}):
        (runs / "preflight" / "preflight.json").write_text(json.dumps(content | change))
        with pytest.raises(UserError, match=r"preflight\.json"):
            find_evidence([runs])


def test_a_folder_of_pretraining_alone_may_stand_beside_one_with_records(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "pretrain" / "demo", [2.0, 1.0])
    _, page = write_report([runs, tmp_path / "pretrain"])
    assert verify(page.with_suffix(".json")).holds
    write_report([tmp_path / "pretrain"])
    page = (tmp_path / "pretrain" / "report.html").read_text()
    assert "<h1>Pre-training report</h1>" in page and "1 pre-training run" in page
    for absent in ("How to read this", "Provenance", ">Overview", "no baseline"):
        assert absent not in page
    with pytest.raises(UserError, match=r"no record\.json below .*empty"):
        (tmp_path / "empty").mkdir()
        write_report([tmp_path / "empty"])


def test_without_evidence_the_report_says_nothing_of_it(runs: Path) -> None:
    assert find_evidence([runs]) == Evidence()
    document = build_document(build_report(find_records([runs])))
    assert "ear-duplicate" not in render_html(document)


def test_test_images_among_own_training_images_are_told_where_there_are_any(tmp_path: Path) -> None:
    own: dict[str, Any] = {"benchmark": "own-masks", "suite": "own", "data_remarks": ["leaves: 3 classes"]}
    clean = trials([50.0, 51.0], weights="a", **own, repeats=Repeats(test_images=150, near_duplicates=0, exact=0))
    dirty = trials([60.0, 61.0], weights="b", **own, repeats=Repeats(test_images=150, near_duplicates=50, exact=48))
    text = render_markdown(build_document(build_report([*clean, *dirty])))
    assert text.count("near-duplicate among") == 1
    assert "b: 50 of 150 test images have a near-duplicate among the training images (48 the same bytes)." in text
