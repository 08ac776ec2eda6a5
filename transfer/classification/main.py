"""``tools/transfer_cls.sh``: classification trials from any known checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common import cli
from common.errors import UserError
from transfer.benchmarks import BENCHMARKS, CLASSIFICATION, ELEVEN
from transfer.cli import TrialArgs, run_benchmarks

COMMAND = "tools/transfer_cls.sh"
PARTS = ("1pct", "10pct", "100pct")
LISTED = ("1pct", "10pct")  # whose labelled images a list can name
# what --mode makes of the demo
DEMO = {"linear": ("demo-linear", "demo-heads"), "finetune": tuple(f"demo-{part}" for part in PARTS)}


@dataclass
class Args(TrialArgs):
    """Classification from any known checkpoint: linear on frozen features, and fine-tuning; five trials.

    benchmarks:
      linear11         linear classification on the eleven data sets, each below $DATA_ROOT/<data set> (VOC2007's
                       is voc); one of them: food101-linear, cifar10-linear, cifar100-linear, sun397-linear,
                       cars-linear, aircraft-linear, voc2007-linear, dtd-linear, pets-linear, caltech101-linear,
                       flowers102-linear
      imagenet-linear  SGD heads on the frozen backbone: the official one, and one chosen among many on held-out
                       training images; folder-linear: the same on your own images
      imagenet-1pct, imagenet-10pct, imagenet-100pct
                       fine-tuning with a part of ImageNet's labels; for 1 and 10 % give SimCLR's list with --labels
      folder-1pct, folder-10pct, folder-100pct
                       the same on your own images, --data DIR with DIR/{train,val}/<class>/<image>; the part of the
                       labels is an even draw from every class, or your list
      demo             the embedded digits, CPU, seconds a trial; also one by one: demo-linear, demo-heads, demo-1pct,
                       demo-10pct, demo-100pct

    --labels is a text file with one image name a line (n01440764_10074.JPEG); SimCLR's are 1percent.txt and
    10percent.txt in the folder imagenet_subsets of github.com/google-research/simclr.

    examples:
      tools/transfer_cls.sh linear11 twist.pth
      tools/transfer_cls.sh imagenet-1pct twist.pth --labels 1percent.txt
      tools/transfer_cls.sh folder-10pct twist.pth --data /data/flowers
      tools/transfer_cls.sh demo runs/pretrain/demo/backbone.pth --mode linear
    """

    mode: Literal["linear", "finetune", "both"] = "both"
    """a linear classifier on frozen features, fine-tuning of the whole network, or one after the other"""
    labels: Path | None = None
    """a list of the labelled training images, one name a line; for the benchmarks with 1 and 10 % of the labels"""


def main(args: Args) -> int:
    names = benchmark_names(args.mode)
    if args.labels is not None and not args.bench.endswith(LISTED):
        raise UserError(f"--labels names the labelled images of *-1pct and *-10pct: {args.bench} takes none")
    if args.bench == "linear11" and args.data is not None:
        raise UserError("linear11 is eleven data sets: set DATA_ROOT to the folder that holds theirs, without --data")
    if args.bench.startswith("folder-"):
        if args.data is None:
            raise UserError(f"{args.bench} is for your own images: give their folder with --data DIR")
        # records of other images have other folders
        args = dataclasses.replace(args, suite=args.suite or args.data.resolve().name)
    return run_benchmarks(args, names, COMMAND, labels=args.labels)


def benchmark_names(mode: str) -> dict[str, tuple[str, ...]]:
    """What the user may type to the benchmarks that it stands for."""
    names: dict[str, tuple[str, ...]]
    names = {name: (name,) for name, benchmark in BENCHMARKS.items() if benchmark.task == CLASSIFICATION}
    names["linear11"] = tuple(f"{name}-linear" for name in ELEVEN)
    names["demo"] = DEMO["linear"] + DEMO["finetune"] if mode == "both" else DEMO[mode]
    return names


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
