"""Segmentation trials that are small enough to run in a test: a few scenes, a few iterations."""

from __future__ import annotations

import hashlib
from pathlib import Path

from transfer import benchmarks
from transfer.trial import Trial, WeightsRef

NUM_TRAIN, NUM_TEST = 6, 4
SHORT = ("train_cfg.max_iters=4", "train_dataloader.batch_size=2", "test_dataloader.batch_size=2")
CHECKPOINTS = "default_hooks.checkpoint={'type': 'CheckpointHook', 'by_epoch': False, 'interval': 2}"


def make_short_lists(digits: Path, root: Path) -> Path:
    """The digits' VOC layout in ``root``, with short lists."""
    source = digits / "VOCdevkit" / "VOC2007"
    target = root / "VOCdevkit" / "VOC2007"
    (target / "ImageSets" / "Segmentation").mkdir(parents=True)
    for folder in ("JPEGImages", "SegmentationClass"):
        (target / folder).symlink_to(source / folder)
    for split, count in {"trainval": NUM_TRAIN, "test": NUM_TEST}.items():
        names = (source / f"ImageSets/Segmentation/{split}.txt").read_text().split()[:count]
        (target / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names) + "\n")
    return root


def make_trial(
    scenes: Path, weights_dir: Path, work_dir: Path, *overrides: str, seed: int = 0, benchmark: str = "demo-seg"
) -> Trial:
    """A trial of :data:`SHORT` from a random ResNet-18 in ``work_dir``, which is made."""
    source = "random:resnet18"
    work_dir.mkdir(parents=True, exist_ok=True)
    return Trial(
        benchmark=benchmarks.get(benchmark),
        weights=WeightsRef(name="random", source=source, sha256=hashlib.sha256(source.encode()).hexdigest()),
        seed=seed,
        data=scenes,
        overrides=(*SHORT, *overrides),
        device="cpu",
        work_dir=work_dir,
        weights_dir=weights_dir,
    )
