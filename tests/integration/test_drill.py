"""The drill of tests/faults/drill.py: its short form always, the long one where DRILL names a folder for it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import drill
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


@pytest.mark.skipif("DRILL" not in os.environ, reason="DRILL names no folder for the long form")
def test_a_hundred_kills_spread_over_all_commands() -> None:
    assert not subprocess.run([sys.executable, "-m", "tests.faults.drill", os.environ["DRILL"]]).returncode
