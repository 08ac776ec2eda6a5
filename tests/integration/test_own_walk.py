"""The page about one's own data: each of its commands in turn, on small data of each kind, from nothing to a report.

In a folder with an odd name, and in an ASCII locale.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import ROOT, run_module
from tests.integration.test_places import ODD
from tests.own_boxes import make_coco
from tests.own_masks import make_masks
from transfer.record import TrialRecord

NUM_PHOTOGRAPHS = 300
MODULES = {
    "pretrain": "pretrain.launch",
    "check_data": "transfer.commands.check_data",
    "transfer_seg": "transfer.commands.transfer_seg",
    "transfer_det": "transfer.commands.transfer_det",
    "transfer_cls": "transfer.commands.transfer_cls",
    "report": "transfer.commands.report",
}
# What makes a command short, and the number of its arguments after which this is said.
TRIAL = ("--trials", "1", "--device", "cpu")
SHORT: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {
    "pretrain": (
        1,
        (
            "epochs=1", "schedule.warmup_epochs=1", "crops.global_size=32", "crops.local_size=32", "crops.num_local=1",
            "model.hidden=16", "run.num_workers=0",
        ),
        ("--device", "cpu"),
    ),
    "transfer_seg": (
        2,
        (
            "model.data_preprocessor.size=(32, 32)", "train_dataloader.dataset.pipeline.2.scale=(128, 64)",
            "train_dataloader.dataset.pipeline.3.crop_size=(32, 32)",
            "test_dataloader.dataset.pipeline.1.scale=(128, 64)", "train_dataloader.batch_size=2",
            "train_cfg.max_iters=2", "train_dataloader.num_workers=0", "train_dataloader.persistent_workers=false",
            "test_dataloader.num_workers=0",
        ),
        TRIAL,
    ),
    "transfer_det": (
        2,
        (
            "MODEL.FPN.OUT_CHANNELS=16", "MODEL.ROI_BOX_HEAD.CONV_DIM=16", "MODEL.ROI_BOX_HEAD.FC_DIM=32",
            "MODEL.ROI_MASK_HEAD.CONV_DIM=8", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE=8",
            "MODEL.RPN.BATCH_SIZE_PER_IMAGE=8", "MODEL.RPN.POST_NMS_TOPK_TRAIN=10", "MODEL.RPN.POST_NMS_TOPK_TEST=10",
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.0", "INPUT.MIN_SIZE_TRAIN=(64,)", "INPUT.MIN_SIZE_TEST=64",
            "SOLVER.IMS_PER_BATCH=2", "SOLVER.MAX_ITER=2", "SOLVER.STEPS=()", "TEST.PRECISE_BN.ENABLED=False",
            "DATALOADER.NUM_WORKERS=0",
        ),
        TRIAL,
    ),
    "transfer_cls": (2, (), TRIAL),
}  # fmt: skip


def page() -> list[str]:
    """Its commands, a line each."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/own_data.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def make_photographs(folder: Path) -> None:
    """Smooth colours in the sizes and names that cameras give, in no folders and of no class."""
    draw = np.random.default_rng(0)
    folder.mkdir()
    for number in range(NUM_PHOTOGRAPHS):
        height, width = draw.integers(40, 80, 2).tolist()
        colours = Image.fromarray(draw.integers(0, 256, (3, 4, 3), dtype=np.uint8))
        colours.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"IMG_{number:04}.JPG")


def make_classes(digits: Path, root: Path) -> None:
    for split, number in (("train", 3), ("val", 1)):
        for folder in sorted((digits / "imagefolder" / split).iterdir()):
            (root / split / folder.name).mkdir(parents=True)
            for image in sorted(folder.iterdir())[:number]:
                shutil.copy(image, root / split / folder.name)


def test_every_command_of_the_page_runs_from_images_to_a_report(digits: Path, tmp_path: Path) -> None:
    root = tmp_path / ODD
    root.mkdir()
    make_photographs(root / "photographs")
    make_masks(root / "leaves", is_coloured=True)
    make_coco(digits, root / "shapes")
    make_classes(digits, root / "pets")
    said = {}
    for line in page():
        tool, *arguments = shlex.split(line)
        name = Path(tool).stem
        place, settings, options = SHORT.get(name, (0, (), ()))
        words = [*arguments[:place], *settings, *arguments[place:], *options]
        done = run_module(MODULES[name], *words, cwd=root, XDG_CACHE_HOME=str(root / "cache"), LC_ALL="C")
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        said[line] = done.stdout

    assert "small: 300 images, batch 32, bunch 32, 9 steps in each of 1 epochs" in said[page()[1]]
    leaves = [text for line, text in said.items() if "leaves" in line]
    assert all("leaves: 3 classes (ground, square, disc), 12 training and 3 test images" in text for text in leaves)
    assert "0 of 3 test images have a near-duplicate among the training images" in leaves[-1]
    assert "1 to be run" in leaves[1] and "schedule: 2 iterations" in leaves[1]
    records = [TrialRecord.load(path) for path in root.rglob("record.json")]
    assert {record.benchmark for record in records} == {"own-masks-any-frozen", "own-coco-any-frozen", "folder-knn"}
    assert all(record.repeats for record in records)
    (boxes,) = [record for record in records if record.benchmark == "own-coco-any-frozen"]
    assert "mask_ap" in boxes.metrics and boxes.data_remarks[0].startswith("shapes: 10 classes (")
    assert not any(line.startswith(("DATASETS", "MODEL.ROI_HEADS.NUM")) for line in boxes.protocol_difference)
    report = (root / "runs/report.md").read_text()
    assert all(text in report for text in ("leaves: 3 classes", "shapes: 10 classes", "random-resnet18"))
