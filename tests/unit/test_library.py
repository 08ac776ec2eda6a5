"""``import transfer``: what a notebook uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import transfer
from tests.conftest import ROOT
from tests.report_records import done
from tests.unit.test_report_images import with_outcomes
from transfer import compat
from transfer.report.compare.reproduction import all_reproductions
from twist_common.errors import UserError


def test_importing_it_imports_nothing_heavy_and_lists_its_functions() -> None:
    code = "import sys, transfer; print({*transfer.__all__} <= {*dir(transfer)}, 'torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True", "False"]
    assert all(getattr(transfer, name).__doc__ for name in transfer.__all__)
    with pytest.raises(AttributeError, match="load_bakbone"):
        transfer.load_bakbone  # noqa: B018


def test_a_target_is_named_by_its_name(tmp_path: Path) -> None:
    backbone = transfer.load_backbone("random:resnet18")
    converted = transfer.convert(backbone, "timm", out=tmp_path)
    assert converted.path == tmp_path / "backbone.timm.safetensors" and converted.path.is_file()
    with pytest.raises(UserError, match="did you mean 'timm'"):
        transfer.convert(backbone, "tim", out=tmp_path)
    for name in ("", "../elsewhere"):
        with pytest.raises(UserError, match="give the beginning of a file's name"):
            transfer.convert(backbone, "timm", out=tmp_path, name=name)


def test_a_checkpoint_is_named_wherever_a_backbone_is_meant(tmp_path: Path) -> None:
    assert transfer.convert("random:resnet18", "timm", out=tmp_path).proof["target"] == "timm"
    assert not transfer.build_network("random:resnet18").training


def test_a_framework_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="Detectron2 is not installed"):
        transfer.convert("random:resnet18", "detectron2", out=tmp_path)


def test_a_plain_script_runs_trials(digits: Path, tmp_path: Path) -> None:
    """Without ``if __name__ == "__main__":`` each process of multiprocessing would run all of it again."""
    (tmp_path / "script.py").write_text(
        "import transfer\nprint('once')\n"
        f"[record] = transfer.run_trials('demo-knn', 'random:resnet18', seeds=3, data={str(digits)!r}, "
        f"out={str(tmp_path / 'runs')!r}, device='cpu')\n"
        "print(record.seed, record.status)\n"
    )
    line = [sys.executable, "-W", "ignore", tmp_path / "script.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("once") == 1 and shown.stdout.splitlines()[-1] == "3 done"


def test_a_network_has_its_weights_and_does_not_train() -> None:
    backbone = transfer.load_backbone("random:resnet18")
    network = transfer.build_network(backbone)
    assert not network.training
    assert all(torch.equal(value, backbone.state_dict[key]) for key, value in network.state_dict().items())


def test_mistakes_are_the_sentences_of_the_commands(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'demo-linear'"):
        transfer.run_trials("demo-lineal", "random:resnet18")
    with pytest.raises(UserError, match="does not exist"):
        transfer.load_backbone(tmp_path / "nothing.pth")
    for wrong, sentence in (
        ({"trials": 1.5}, "trials is 1.5: give a whole number"),
        ({"seeds": (0, 0)}, "--seeds names seed 0 twice"),
        ({"seeds": "a"}, "--seeds 'a' is neither"),
        ({"suite": "../elsewhere"}, "--suite is '../elsewhere': give the name of one folder"),
        ({"suite": ""}, "--suite is ''"),
        ({"suite": "a\nb"}, "--suite is "),
    ):
        with pytest.raises(UserError, match=sentence):
            transfer.run_trials("demo-linear", "random:resnet18", data=tmp_path, out=tmp_path / "runs", **wrong)
    with pytest.raises(UserError, match="the checkpoint is a Backbone: give its path or name"):
        transfer.run_trials("demo-linear", transfer.load_backbone("random:resnet18"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"'runs' is no list of records: give read_records\('runs'\)"):
        transfer.compare("runs")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="colour"):
        transfer.load_backbone("x.pth", colour="BGR")  # type: ignore[call-arg]


def test_records_are_compared() -> None:
    records = [
        done(10.0 + seed + gain, seed=seed, weights=name) for seed in range(3) for name, gain in (("a", 0), ("b", 5))
    ]
    report = transfer.compare(records, baseline="a")
    [result] = report.benchmarks
    [other] = [row for row in result.rows if row.label == "b"]
    assert other.differences[result.main_metric].summary.mean == pytest.approx(5.0)


def test_compare_knows_outcomes_and_published_methods(tmp_path: Path) -> None:
    records = [
        *with_outcomes(tmp_path, weights="random-a", skill=0.4),
        *with_outcomes(tmp_path, weights="b", skill=0.6),
    ]
    report = transfer.compare(records, sources=[tmp_path])
    assert all(row.with_images for row in report.rows)
    assert not any(row.with_images for row in transfer.compare(records).rows)
    voc = [done({"box_ap": 57.0 + seed}, seed=seed, weights="mine", benchmark="voc") for seed in range(3)]
    (found,) = all_reproductions(transfer.compare(voc, published={"mine": "TWIST"}))
    assert found.printed.method == "TWIST" and found.difference == pytest.approx(58.0 - 58.1)
    with pytest.raises(UserError, match="TWITS"):
        transfer.compare(voc, published={"mine": "TWITS"})
