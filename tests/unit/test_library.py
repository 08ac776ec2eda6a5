"""``import transfer``: what a notebook uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import transfer
from tests.conftest import ROOT
from tests.report_records import done
from tests.unit.test_report_images import with_outcomes
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
