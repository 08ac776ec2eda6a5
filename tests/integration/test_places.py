"""Odd places: names with spaces, quotes and line ends, an ASCII locale, no HOME, few files, moved folders."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.report_records import trials
from tests.trial_runs import PROGRAM

ODD = "a ü'\"%{x}\n$(b)"
ENVIRONMENT = {"LC_ALL": "C", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def bare(*line: str | Path) -> str:
    """What a command prints where nothing but its locale and its packages is set, and files are their owner's."""

    def limited() -> None:
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    given = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR")}
    command = [sys.executable, *map(str, line)]
    done = subprocess.run(
        command, cwd="/", env=given | ENVIRONMENT, preexec_fn=limited, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_trials_are_found_again_in_a_folder_that_was_moved_and_linked(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    assert "done 2, elsewhere 0, skipped 0" in bare(tmp_path / "program.py", folder, "2")
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("record.json")} == {0}
    (folder / "runs").rename(tmp_path / "elsewhere")
    (folder / "runs").symlink_to(tmp_path / "elsewhere")
    assert "done 0, elsewhere 0, skipped 2" in bare(tmp_path / "program.py", folder, "2")


def test_a_report_is_written_packed_and_verified_in_an_odd_folder(tmp_path: Path) -> None:
    runs, out = tmp_path / ODD / "runs", tmp_path / ODD / "out"
    for record in trials([50.0, 51.0, 52.0]):
        record.save(runs / f"trial-{record.seed}" / "record.json")
    module = ("-m", "transfer.commands.report")
    bare(*module, runs, "--out", out)
    assert "follow from the records" in bare(*module, "--verify", out / "report.json")
    bare(*module, runs, "--pack", out / "a b.tar.gz")
    assert "follow" in bare(*module, "--verify", out / "report.json", out / "a b.tar.gz")
