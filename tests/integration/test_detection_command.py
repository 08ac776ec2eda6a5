"""The detection command: which benchmark a name and its options stand for, and what is refused before anything runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import run_module, run_program
from transfer.record import TrialRecord

MODULE = "transfer.commands.transfer_det"
SHORT = ("SOLVER.MAX_ITER=2", "SOLVER.STEPS=(1,)", "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.0")


def test_a_frozen_trial_is_a_record_of_the_probe_and_says_how_it_differs(digits: Path, tmp_path: Path) -> None:
    done = run_module(
        MODULE, "demo-voc", "random:resnet18", *SHORT, "--frozen", "--trials", "1", "--data", digits, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.rglob("record.json")
    record = TrialRecord.load(file)
    assert (record.benchmark, record.standing) == ("demo-voc-frozen", "off protocol")
    assert "1 of 1 trials off protocol: MODEL.ROI_HEADS.SCORE_THRESH_TEST" in done.stdout
    assert record.pictures and all((file.parent / picture).is_file() for picture in record.pictures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("voc-c4", "--frozen"),
            "--frozen goes with voc-any, coco-any, voc, coco, own-coco, own-coco-any, own-voc, own-voc-any, demo-voc",
        ),
        (("voc-frozen",), "unknown benchmark 'voc-frozen'"),
        (("demo-voc", "--canary-weights", "x.pth"), "give --canary too"),
        (("demo-voc", "--rescale", "0"), "--rescale is 0: a batch has at least one image"),
    ],
)
def test_bad_use_is_one_sentence_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, digits: Path, tmp_path: Path
) -> None:
    bench, *rest = arguments
    done = run_module(MODULE, bench, "random:resnet18", *rest, "--trials", "1", "--data", digits, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.pkl"))


def test_damaged_data_are_refused_before_anything_is_converted(digits: Path, tmp_path: Path) -> None:
    shutil.copytree(digits, tmp_path / "data", ignore=shutil.ignore_patterns("imagefolder"), copy_function=os.link)
    image = next((tmp_path / "data/VOCdevkit/VOC2007/JPEGImages").iterdir())
    content = image.read_bytes()
    image.unlink()  # a hard link: the original stays as it is
    image.write_bytes(content[: len(content) // 2])
    done = run_module(MODULE, "demo-voc", "random:resnet18", "--data", tmp_path / "data", cwd=tmp_path)
    assert done.returncode == 2
    assert image.name in done.stderr and "tools/check_data.sh digits" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_canary_that_misses_its_band_stops_before_the_trials(digits: Path, tmp_path: Path) -> None:
    """A real short trial, in a band that it cannot reach."""
    program = (
        "from dataclasses import replace; from twist_common import cli; from transfer.benchmarks import BENCHMARKS;"
        "from transfer.commands.transfer_det import Args, COMMAND, main; from transfer.rows import Band, Canary;"
        "band = Band(low=99.0, high=100.0, source='nobody');"
        f"canary = Canary(overrides={(*SHORT,)!r}, random=band);"
        "BENCHMARKS['demo-voc'] = replace(BENCHMARKS['demo-voc'], canary=canary)\n"
        "if __name__ == '__main__': cli.run(Args, main, prog=COMMAND)"
    )
    (tmp_path / "program.py").write_text(program)
    arguments = ("demo-voc", "random:resnet18", "--canary", "--trials", "1", "--data", digits)
    done = run_program(tmp_path / "program.py", *arguments)
    assert done.returncode == 2
    assert "ended at box_ap50" in done.stderr and "should have ended above 99 and up to 100 (nobody)" in done.stderr
    assert len(list((tmp_path / "runs-canary").rglob("record.json"))) == 1
    assert not list((tmp_path / "runs").rglob("trial-*"))
