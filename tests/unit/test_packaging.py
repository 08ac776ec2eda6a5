"""What ``pyproject.toml`` says of the packages, and what is said where something is not installed."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from transfer import compat
from transfer.benchmarks import BENCHMARKS
from transfer.commands import demo
from transfer.commands.main import COMMANDS
from transfer.commands.main import main as twist_transfer
from transfer.preflight.check import check_frameworks
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from twist_common import cli, places
from twist_common.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("twist_common", "twist_configs", "pretrain", "transfer")


def imported_packages() -> set[str]:
    """Every package of others that a file of ours imports, wherever in the file."""
    names = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - set(PACKAGES)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_is_imported_is_declared() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [
        *project["dependencies"],
        *(each for name in ("detection", "segmentation", "trackers") for each in extras[name]),
    ]
    declared = {canonical(re.match(r"[\w.-]+", each)[0]) for each in requirements}  # type: ignore[index]
    providers = importlib.metadata.packages_distributions()
    providers["mmcv"] = ["mmcv-lite"]
    missing = {
        name for name in imported_packages() if not declared & {canonical(each) for each in providers.get(name, [name])}
    }
    assert not missing


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_that_runs(name: str) -> None:
    assert callable(importlib.import_module(COMMANDS[name][0]).run)


def test_help_of_plans_is_that_of_all_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (cli.INSTALLED, "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "argv", ["twist-transfer", "plan", "--help"])
    with pytest.raises(SystemExit) as stop:
        twist_transfer()
    assert stop.value.code == 0 and "plan det voc CKPT" in capsys.readouterr().out


def test_help_of_the_installed_command_keeps_its_boxes_straight() -> None:
    """Commands are longer there than the script's name, for which the lines were filled; one may have no room left."""
    environment = {**os.environ, "COLUMNS": "100", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "transfer.commands.main", "suite", "--help"]
    shown = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True).stdout
    lines = [line for line in shown.splitlines() if line.startswith("│")]
    assert any("twist-transfer" in line for line in lines)
    assert {len(line) for line in lines if line.endswith("  │")} == {100}


def test_the_demo_is_made_of_commands(tmp_path: Path) -> None:
    steps = demo.steps(demo.Args(trials=2, out=tmp_path))
    assert [name for name, _ in steps] == ["demo-data", "pretrain", "convert", "check-data", "suite", "report"]
    assert {name for name, _ in steps} <= set(COMMANDS)


def test_the_demo_in_a_checkout_of_somebody_elses_says_where_data_may_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "theirs/data"))
    monkeypatch.setattr(demo.os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UserError, match=r"cannot write to .*: set DATA_ROOT to a folder for data"):
        demo.main(demo.Args(out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def plans(benchmark: str, tmp_path: Path) -> list[TrialPlan]:
    weights = [weights_ref("random:resnet18", name=None)]
    chosen = [BENCHMARKS[benchmark]]
    return plan_trials(
        runs=tmp_path, suite="x", benchmarks=chosen, weights=weights, seeds=[0], device="cpu", must_exist=False
    )


def test_a_framework_that_is_not_installed_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_frameworks(plans("demo-voc", tmp_path))
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Detectron2 is not installed: plain pip cannot install it: .*tools/setup\.sh"):
        check_frameworks(plans("demo-voc", tmp_path))
    with pytest.raises(UserError, match=r"MMSegmentation is not installed: .*segmentation"):
        check_frameworks(plans("demo-seg", tmp_path))
    check_frameworks(plans("demo-linear", tmp_path))
    with pytest.raises(UserError, match="MMSegmentation is not installed"):
        demo.main(demo.Args(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert compat.missing_framework("mmseg-any") and compat.missing_framework("torchvision") is None


def test_what_a_framework_does_not_bring_is_one_sentence_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    absent = ("faster_coco_eval", "mmcv", "ftfy")
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: None if name in absent else find_spec(name))
    with pytest.raises(UserError, match=r"faster_coco_eval is not installed, .*Detectron2 needs .*faster-coco-eval"):
        check_frameworks(plans("demo-voc", tmp_path))
    with pytest.raises(UserError, match=r"mmcv, ftfy is not installed, which MMSegmentation needs .*\[segmentation\]"):
        check_frameworks(plans("demo-seg", tmp_path))


def test_an_extra_is_of_the_checkout_or_of_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.install_extra("trackers") == f"pip install '{ROOT}[trackers]'"
    monkeypatch.setattr(places, "CODE", tmp_path)  # as in site-packages, without a pyproject.toml
    assert places.install_extra("trackers") == "pip install 'twist-transfer[trackers]'"


STUB = """#!/bin/sh
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp "$0" .venv/bin/uv ;;
  "pip install"*) sleep 1 ;;
esac
"""


@pytest.fixture
def set_up(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a set-up whose Python and installer do nothing but wait."""
    (tmp_path / "tools").mkdir()
    for name in ("tools/setup.sh", "tools/bootstrap.lock", "requirements.lock", "uv.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(STUB)
    (tmp_path / "python").chmod(0o755)
    environment = {**os.environ, "PYTHON": str(tmp_path / "python"), "PROGRESS_SECONDS": "0.3"}

    def start(*options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [tmp_path / "tools/setup.sh", *options], env=environment, stderr=subprocess.PIPE, text=True
        )

    return start


def test_set_up_shows_that_it_moves(set_up: Callable[..., subprocess.Popen[str]]) -> None:
    process = set_up()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert len(re.findall(r"setup: \S+ of 7 GB are there after \d+ s", said)) >= 2
    assert "setup: done in" in said.splitlines()[-1]


def test_a_killed_set_up_leaves_nothing_that_goes_on_and_one_of_the_next_two_waits(
    set_up: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    killed = set_up()
    while not (tmp_path / ".venv/bin/uv").exists():
        time.sleep(0.01)
    time.sleep(0.1)
    killed.kill()
    killed.wait()
    began = time.monotonic()
    killed.communicate(timeout=30)  # returns when nothing of it is left that could write
    assert time.monotonic() - began < 5
    both = set_up(), set_up()
    said = "".join(process.communicate(timeout=30)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    assert said.count("setup: done in") == said.count("waiting for its end") == 1, said
    assert set_up().communicate(timeout=30)[1] == ""  # complete
    unknown = set_up("--forse")
    assert "unknown argument '--forse'" in unknown.communicate(timeout=30)[1] and unknown.returncode == 2
