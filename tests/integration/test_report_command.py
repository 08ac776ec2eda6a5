"""The report's command as users start it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_module
from tests.report_records import done, save, trials
from transfer.report.main import write_report

FILES = {"report.html", "report.md", "report.csv", "report.tex", "report.json"}
MODULE = "transfer.report.main"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return save([*trials([50.0, 52.0], weights="random-resnet18"), *trials([60.0, 61.0])], tmp_path / "runs")


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_command_prints_the_table_and_last_the_page(runs: Path, tmp_path: Path) -> None:
    ended = run_module(MODULE, runs, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert any("60.50 ± 0.71 (2)" in line and "+9.50" in line for line in lines)
    assert lines[-1] == str(runs / "report.html")
    assert {path.name for path in runs.iterdir() if path.is_file()} == FILES
    assert {path.name for path in (runs / "report-figures").iterdir()} == {"overview.png", "trials-demo.demo-seg.png"}


def test_running_again_in_another_process_changes_nothing(runs: Path, tmp_path: Path) -> None:
    write_report([runs])
    first = content(runs)
    ended = run_module(MODULE, runs, cwd=tmp_path, PYTHONHASHSEED="7")
    assert ended.returncode == 0, ended.stderr
    assert content(runs) == first


def test_a_report_imports_no_torch_and_no_framework(runs: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from transfer.report.main import write_report; "
        "write_report([Path(sys.argv[1])], out=Path(sys.argv[2])); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'torchvision', 'timm', 'detectron2', 'mmseg', 'mmengine', 'mmcv', 'sklearn'}))"
    )
    command = [sys.executable, "-c", program, str(runs), str(tmp_path / "out")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == FILES
    assert not (runs / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no folder given"),
        (("absent",), "absent is not a folder"),
        (("runs", "--baseline", "twits"), "did you mean 'twist'"),
    ],
)
def test_bad_use_is_one_sentence_and_exit_code_2(
    runs: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = run_module(MODULE, *arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert words in ended.stderr and "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (runs / "report.html").exists()


def test_duplicate_trials_in_two_folders_write_nothing(runs: Path, tmp_path: Path) -> None:
    save([done(1.0)], tmp_path / "more")
    ended = run_module(MODULE, runs, tmp_path / "more", cwd=tmp_path)
    assert ended.returncode == 2
    assert "same trial" in ended.stderr
    assert not (runs / "report.html").exists()
