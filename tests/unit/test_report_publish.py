"""The model card says what was measured with these weights, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.report_records import done, save, trials
from transfer import benchmarks
from transfer.commands import publish
from transfer.commands.report import write_report
from twist_common.errors import UserError
from twist_common.files import sha256_file, sha256_text

WEIGHTS = b"converted weights"


def proof_of(weights: Path, source: str) -> dict[str, Any]:
    return {
        "target": "mmseg",
        "arch": "resnet18",
        "weights_sha256": sha256_file(weights),
        "source": {"file": "twist.pth", "sha256": sha256_text(source), "format": "twist-transfer", "which": "student"},
        "stages": {"res5": {"max_abs_difference": 2.5e-7}},
        "rule": "max_abs_difference <= 1e-05 * rms",
        "colour_order": "RGB",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    path = tmp_path / "weights" / "twist.mmseg.pth"
    path.parent.mkdir()
    path.write_bytes(WEIGHTS)
    content = {"schema_version": 2, "proofs": {"mmseg": proof_of(path, "twist")}}
    (path.parent / "twist.proof.json").write_text(json.dumps(content))
    return path


@pytest.fixture
def report(tmp_path: Path) -> Path:
    records = [
        *trials([50.0, 51.5, 52.1], weights="random-resnet18"),
        *trials([60.0, 61.0, 62.5]),
        done(99.0, seed=9, protocol_difference=["max_iters: 200 -> 999"]),
        *trials([70.0], weights="another"),
    ]
    return write_report([save(records, tmp_path / "runs")])[1].with_suffix(".json")


def published(converted: Path, report: Path, out: Path) -> tuple[dict[str, Any], str]:
    publish.main(publish.Args(checkpoint=converted, report=report, out=out, license="apache-2.0"))
    _, front, body = (out / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def test_card_holds_the_measured_table_and_its_model_index(converted: Path, report: Path, tmp_path: Path) -> None:
    front, body = published(converted, report, tmp_path / "out")
    (index,) = front["model-index"]
    (result,) = index["results"]
    assert result["task"]["type"] == "image-segmentation"
    assert result["metrics"] == [{"type": "miou", "name": "mIoU, mean of 3 trials", "value": 61.1667}]
    assert (front["license"], index["name"]) == ("apache-2.0", "out")
    assert "61.17 ± 1.26 (3) | +9.97 [+8.85, +11.09] | random-resnet18" in body


def test_each_benchmark_has_the_hub_s_name_of_its_task(converted: Path) -> None:
    weights = publish.ConvertedWeights(converted, proof_of(converted, "twist"))
    tasks: dict[str, set[str]] = {}
    for benchmark in benchmarks.BENCHMARKS.values():
        measured = {"benchmark": benchmark.name, "title": benchmark.title, "main_metric": benchmark.main_metric}
        front = publish.model_card(weights, [(measured, {"metrics": {}})], "out", None).split("---\n")[1]
        (result,) = yaml.safe_load(front)["model-index"][0]["results"]
        tasks.setdefault(result["task"]["type"], set()).add(benchmark.main_metric.split("_")[0])
    assert tasks["depth-estimation"] == {"rmse"}
    assert tasks["image-segmentation"] == {"miou", "mask"}
    assert tasks["object-detection"] == {"box"}
    assert tasks["image-classification"].isdisjoint({"rmse", "miou", "mask", "box"})


def test_off_protocol_and_other_weights_are_not_in_the_card(converted: Path, report: Path, tmp_path: Path) -> None:
    front, body = published(converted, report, tmp_path / "out")
    for absent in ("99.00", "70.00", "another"):
        assert absent not in body + json.dumps(front)


def test_folder_holds_the_same_weights_the_proof_and_the_report(converted: Path, report: Path, tmp_path: Path) -> None:
    published(converted, report, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.md", "proof.json", "report.json", "twist.mmseg.pth"}
    assert (tmp_path / "out" / "twist.mmseg.pth").read_bytes() == WEIGHTS
    assert json.loads((tmp_path / "out" / "proof.json").read_text()) == proof_of(converted, "twist")


def test_weights_that_are_not_what_the_proof_says_are_refused(converted: Path, report: Path, tmp_path: Path) -> None:
    converted.write_bytes(b"other")
    with pytest.raises(UserError, match="is not the file that"):
        published(converted, report, tmp_path / "out")


def test_weights_that_the_report_does_not_have_are_refused_naming_those_it_has(
    converted: Path, report: Path, tmp_path: Path
) -> None:
    content = {"schema_version": 2, "proofs": {"mmseg": proof_of(converted, "never run")}}
    (converted.parent / "twist.proof.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"no trial on protocol of the checkpoint .*twist \("):
        published(converted, report, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_was_not_measured_is_refused_before_it_is_converted(report: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "other.pth"
    checkpoint.write_bytes(b"no checkpoint at all")
    with pytest.raises(UserError, match="no trial on protocol of the checkpoint"):
        published(checkpoint, report, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_cannot_become_markup_in_the_card(converted: Path, tmp_path: Path) -> None:
    nasty = "<script>|x|</script>"
    records = [dataclasses.replace(record, benchmark=nasty) for record in trials([60.0, 61.0, 62.5])]
    report = write_report([save(records, tmp_path / "nasty")])[1].with_suffix(".json")
    _, body = published(converted, report, tmp_path / "out")
    assert "<script" not in body and "&lt;script&gt;" in body
