"""``tools/suite.sh`` on real benchmarks."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run_module
from transfer.record import TrialRecord


def test_weights_that_do_not_fit_one_benchmark_are_refused_before_the_first_trial(digits: Path, tmp_path: Path) -> None:
    benches = ("--only", "demo-linear", "demo-voc")
    options = ("--data", digits, "--trials", "1", "--out", tmp_path / "runs", "--device", "cpu")
    done = run_module(
        "transfer.commands.suite", "demo", "random:resnet18", "random:resnet50", *benches, *options, cwd=tmp_path
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "error: demo-voc is for a resnet18, random:resnet50 is a resnet50: give weights of a resnet18, or add MODEL."
    )
    assert not list((tmp_path / "runs").rglob("trial-*"))


def test_a_damaged_checkpoint_is_refused_before_the_first_trial(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint at all\n" * 50)
    options = ("--only", "demo-cluster", "--data", digits, "--out", tmp_path / "runs", "--device", "cpu")
    done = run_module("transfer.commands.suite", "demo", "random:resnet18", "bad.pth", *options, cwd=tmp_path)
    assert done.returncode == 2 and "demo-cluster from bad: " in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "runs").rglob("*"))


def test_every_checkpoint_has_trials_of_the_seeds_that_were_asked_for(digits: Path, tmp_path: Path) -> None:
    options = ("--only", "demo-cluster", "--seeds", "8-9", "--data", digits, "--device", "cpu", "--report")
    done = run_module("transfer.commands.suite", "demo", "a=random:resnet18", "random:resnet34", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 trials are recorded below runs" in done.stdout
    assert done.stderr.splitlines()[-1] == "report so far: runs/demo/report.html"
    assert "resnet34" in (tmp_path / "runs" / "demo" / "report.html").read_text(encoding="utf-8")
    records = [TrialRecord.load(path) for path in (tmp_path / "runs" / "demo").rglob("record.json")]
    found = sorted((record.weights.name, record.weights.arch, record.seed) for record in records)
    assert found == [
        (name, arch, seed) for name, arch in (("a", "resnet18"), ("random-resnet34", "resnet34")) for seed in (8, 9)
    ]
    (tmp_path / "runs" / "demo" / "report.html").unlink()  # as if the disk had been full
    done = run_module("transfer.commands.suite", "demo", "a=random:resnet18", "random:resnet34", *options, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.endswith("report so far: runs/demo/report.html\n"), done.stderr
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()
