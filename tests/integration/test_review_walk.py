"""The page on handing results on: what the sender types, and a reviewer who has the archive and nothing else."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT
from tests.report_records import trials

BLOCK = r'```bash title="{}"\n(.*?)```'


def typed(title: str, folder: Path) -> list[str]:
    """Runs the commands of the block with this title in the folder; returns what each printed."""
    page = (ROOT / "docs/reproduce.md").read_text(encoding="utf-8")
    (block,) = re.findall(BLOCK.format(re.escape(title)), page, re.DOTALL)
    said = []
    for line in block.splitlines():
        tool, *words = shlex.split(line)
        done = subprocess.run([ROOT / tool, *words], cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
    return said


def test_a_reviewer_verifies_an_archive_with_what_the_page_says(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for record in [*trials([50.0, 51.0, 52.0], weights="random-resnet18"), *trials([60.0, 61.0, 62.5])]:
        record.save(here / "runs" / record.weights.name / f"trial-{record.seed}" / "record.json")
    typed("after the trials", here)
    there.mkdir()
    shutil.move(here / "evidence.tar.gz", there)
    shutil.rmtree(here)
    packed, shown, again = typed("in an empty folder, with the archive alone", there)
    values = r"all (\d+) values follow from the records"
    assert re.findall(values, packed) == re.findall(values, again) != []
    assert "twist is better than random-resnet18" in shown and (there / "again/report.html").is_file()
