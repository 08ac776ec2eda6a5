"""The drill of tests/faults/drill.py: its short form always, the long one where DRILL names a folder for it."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import drill, refusals
from tests.report_records import trials

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are found through /proc")


def test_a_command_that_is_ended_at_any_moment_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    for record in trials([50.0, 51.0, 52.0]):
        record.save(tmp_path / "runs" / f"trial-{record.seed}" / "record.json")
    report = drill.commands(tmp_path, tmp_path, tmp_path / "runs")["report"]
    found = drill.drill(dataclasses.replace(report, kills=2), tmp_path / "out", seed=0)
    assert (found.kills, found.asked, found.wrong) == (2, 2, [])


def test_the_drill_sees_what_is_lost_left_over_or_still_runs(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import subprocess, sys, time\n"
        "from pathlib import Path\n"
        "out = Path(sys.argv[1])\n"
        "(out / f'{time.time_ns()}.txt').touch()\n"
        "subprocess.Popen(['sleep', '4'])\n"
        "time.sleep(0.5)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drill, "ORPHAN_SECONDS", 0.2)
        found = drill.drill(drill.Command(f"{program} {{out}}", 1), tmp_path / "out", seed=0)
    assert any("still runs" in line for line in found.wrong)
    assert any("missing after the kills" in line for line in found.wrong)


WRITES = """
import dataclasses, sys
from pathlib import Path
from twist_common import cli
from twist_common.files import write_text
@dataclasses.dataclass
class Args:
    "Writes."
    out: Path
def main(args: Args) -> None:
    for number in range(3):
        path = args.out / f"{number}.txt"
        KIND
cli.run(Args, main, prog="program")
"""
WELL, BADLY = "write_text(path, 'x')", "path.with_suffix('.tmp').touch(); path.write_text('x')"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) for what refuses")
def test_what_the_system_refuses_is_one_sentence_and_what_is_left_over_is_seen(tmp_path: Path) -> None:
    library, wrong = refusals.compiled(tmp_path), {}
    for kind in (WELL, BADLY):
        program = tmp_path / f"program{len(wrong)}.py"
        program.write_text(WRITES.replace("KIND", kind))
        found = refusals.Refusing(drill.Command(f"{program} --out {{out}}", 0), tmp_path / program.stem, library)
        found.refuse(errno.EDQUOT, 1)
        wrong[kind] = found.wrong
    assert wrong[WELL] == []
    assert any(line.startswith("EDQUOT from call") and "left: " in line for line in wrong[BADLY])


@pytest.mark.skipif("DRILL" not in os.environ, reason="DRILL names no folder for the long form")
@pytest.mark.parametrize("form", ["drill", "refusals", "set_up", "full"])
def test_a_hundred_kills_and_refusals_spread_over_all_commands(form: str) -> None:
    if form == "full" and (os.geteuid() or not shutil.which("mkfs.btrfs")):
        pytest.skip("file systems are made and mounted by root, with btrfs-progs")
    folder = Path(os.environ["DRILL"]) / form
    assert not subprocess.run([sys.executable, "-m", f"tests.faults.{form}", folder]).returncode
