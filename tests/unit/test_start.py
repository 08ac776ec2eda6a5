"""No process of ours imports from the current folder, on any Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from twist_common import start
from twist_common.process import run_module

# What is imported by Python itself when it starts servers, by torch, and by us; each ends the process that imports it.
NAMES = ("json", "socket", "struct", "multiprocessing", "runpy", "torch", "twist_common", "transfer", "configs")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of data that has modules in it."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("print('imported from the current folder')\nraise SystemExit(9)\n")
    return tmp_path


def python(*line: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Without PYTHONSAFEPATH, which Python 3.10 does not know."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, *line], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_folder_is_hostile(hostile: Path) -> None:
    assert python("-m", "tests.started", cwd=hostile).returncode == 9


def test_neither_the_module_nor_processes_of_multiprocessing_import_from_the_current_folder(hostile: Path) -> None:
    done = python(start.__file__, "-m", "tests.started", "-c", "one two", cwd=hostile)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found.pop("arguments") == ["-c", "one two"]
    assert set(found) == {"main", "forkserver", "spawn"}
    for paths in found.values():
        assert str(ROOT) in paths and not {str(hostile), str(Path(start.__file__).parent)} & set(paths)


def test_a_command_of_submitit_imports_nothing_either(hostile: Path) -> None:
    done = python("-u", start.__file__, "-u", "-m", "tests.started", "folder", cwd=hostile)
    assert done.returncode == 0 and json.loads(done.stdout)["arguments"] == ["folder"], done.stderr


def test_a_module_of_ours_imports_nothing_either(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.chdir(hostile)
    assert run_module("tests.started", []) == 0


def test_every_launcher_starts_so() -> None:
    for path in (ROOT / "tools").glob("*.sh"):
        shown = path.read_text(encoding="utf-8")
        if "_env.sh" in shown and path.name != "test.sh":  # that one works in the checkout
            assert re.search(r"^start [a-z_.]+ ", shown, re.MULTILINE), path
        assert not re.search(r'"\$PYTHON" -m|python3? -( |m .*"\$@")', shown), path


def test_a_tool_in_a_hostile_folder(hostile: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = "::/nowhere:/else where::"  # an empty entry is the current folder
    line = [ROOT / "tools/transfer_cls.sh", "demo-linear", "random:resnet18", "--data", "nowhere"]
    done = subprocess.run(line, cwd=hostile, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "nowhere" in done.stderr, done.stderr
