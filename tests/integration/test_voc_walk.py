"""README's own checkpoint: from a MoCo file to VOC numbers, on a few images in VOC's layout."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import torch

from tests.backbones import trained_like
from tests.conftest import ROOT, run_module, run_program
from tests.integration.test_own_walk import SHORT
from tests.layouts import moco
from transfer.layouts import VOC_CLASSES
from transfer.record import TrialRecord

LISTS = {(2007, "trainval"): slice(0, 2), (2012, "trainval"): slice(2, 4), (2007, "test"): slice(4, 6)}
# The public data set in another size; the command is the project's own.
PROGRAM = """
from dataclasses import replace

from transfer.benchmarks import BENCHMARKS
from transfer.commands.transfer_det import run
from transfer.datasets import DATASETS

(layout,) = DATASETS["voc"].layouts
DATASETS["voc"] = replace(DATASETS["voc"], layouts=(replace(layout, num_train=4, num_test=2),))
BENCHMARKS["voc"] = replace(BENCHMARKS["voc"], dataset=DATASETS["voc"])

if __name__ == "__main__":
    run()
"""


def page() -> list[str]:
    """The commands below README's heading."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own checkpoint")[2]
    return re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[0].splitlines()


def make_voc(digits: Path, root: Path) -> None:
    """Six scenes of digits as VOC2007 and VOC2012, the digits called aeroplane, bicycle and so on."""
    source = digits / "VOCdevkit/VOC2007"
    names = sorted(path.stem for path in (source / "Annotations").iterdir())
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for (year, split), part in LISTS.items():
        home = root / f"VOCdevkit/VOC{year}"
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        for name in names[part]:
            text = (source / f"Annotations/{name}.xml").read_text().replace("VOC2007", f"VOC{year}")
            for word, label in zip(words, VOC_CLASSES, strict=False):
                text = text.replace(f"<name>{word}<", f"<name>{label}<")
            (home / f"Annotations/{name}.xml").write_text(text)
            shutil.copy(source / f"JPEGImages/{name}.jpg", home / "JPEGImages")
        (home / f"ImageSets/Main/{split}.txt").write_text("\n".join(names[part]) + "\n")


def test_a_moco_checkpoint_gives_voc_numbers_and_a_report(digits: Path, tmp_path: Path) -> None:
    make_voc(digits, tmp_path / "data/voc")
    (tmp_path / "program.py").write_text(PROGRAM)
    _, trial, report = (shlex.split(line, comments=True) for line in page())
    torch.save(moco(trained_like("resnet50", 0).state_dict), tmp_path / trial[2])

    place, settings, options = SHORT["transfer_det"]
    boxes = [word for word in settings if not word.startswith("MODEL.ROI_MASK_HEAD")]
    words = [*trial[1:][:place], *boxes, *trial[1:][place:], *options]
    done = run_program(tmp_path / "program.py", *words, DATA_ROOT=str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert "the student is taken; it holds a teacher too" in done.stdout
    (file,) = tmp_path.glob("runs/paper/voc/moco_v2-*/trial-0/record.json")
    record = TrialRecord.load(file)
    assert (record.status, record.weights.source_format) == ("done", "MoCo"), record.error
    assert record.weights.proof and {"box_ap", "box_ap50", "box_ap75"} <= record.metrics.keys()

    written = run_module("transfer.commands.report", *report[1:], cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    text = (tmp_path / "runs/report.md").read_text()
    assert all(each in text for each in ("moco", "Faster R-CNN R50-FPN", f"{record.metrics['box_ap50'].value:.2f}"))
