"""``tools/transfer_cls.sh``: classification trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transfer.benchmarks import BENCHMARKS, CLASSIFICATION, ELEVEN, GROUPS
from transfer.commands.trial_command import TrialArgs, benchmark_lines, run_benchmarks
from twist_common import cli
from twist_common.errors import UserError

COMMAND = "tools/transfer_cls.sh"
LISTED = ("-1pct", "-10pct")  # whose labelled images a list can name

Mode = Literal["linear", "finetune", "both"]
Grid = Literal["full", "cheap"]


@dataclass
class Args(TrialArgs):
    """Classification from any known checkpoint: linear on frozen features, and fine-tuning; five trials.

    benchmarks:
    {benchmarks}

    linear11 and finetune11 stand for eleven data sets, each below $DATA_ROOT/<name> (VOC2007: voc); a data set alone
    (dtd) stands for its benchmarks as --mode says, and demo for all on the embedded digits. folder-* are for your own
    images, --data DIR with DIR/{train,val}/<class>/<image>; part of the labels is an even draw from every class, or
    your list.

    imagenet-1pct and imagenet-10pct need SimCLR's lists with --labels: a text file with one image name per line
    (n01440764_10074.JPEG), 1percent.txt or 10percent.txt in the folder imagenet_subsets of
    github.com/google-research/simclr.

    examples:
      tools/transfer_cls.sh imagenet-1pct twist.pth --labels 1percent.txt
      tools/transfer_cls.sh folder-linear twist.pth --data /data/flowers
      tools/transfer_cls.sh dtd twist.pth --mode finetune --grid cheap
      tools/transfer_cls.sh demo runs/pretrain/demo/backbone.pth --mode linear
    """

    mode: Mode = "both"
    """for demo and single data sets: a linear classifier on frozen features, fine-tuning, or one after the other"""
    grid: Grid = "full"
    """fine-tuning on the eleven: 56 points of 20,000 steps, or 6 of 5,000, which are benchmarks of their own"""
    labels: Path | None = None
    """a list of the labelled training images, one name per line; for the benchmarks with 1 and 10 % of the labels"""


def main(args: Args) -> int:
    names = benchmark_names(args.mode, args.grid)
    if args.labels is not None and not args.bench.endswith(LISTED):
        raise UserError(f"--labels names the labelled images of *-1pct and *-10pct: {args.bench} takes none")
    if args.bench in GROUPS and args.data is not None:
        raise UserError(
            f"{args.bench} is eleven data sets: set DATA_ROOT to the folder that holds all of theirs, not --data"
        )
    return run_benchmarks(args, names, COMMAND, labels=args.labels)


def benchmark_names(mode: Mode, grid: Grid) -> dict[str, tuple[str, ...]]:
    """What the user may type to the benchmarks that it stands for."""

    def chosen(linear: tuple[str, ...], finetune: tuple[str, ...]) -> tuple[str, ...]:
        return {"linear": linear, "finetune": finetune, "both": linear + finetune}[mode]

    rows = [row for row in BENCHMARKS.values() if row.task == CLASSIFICATION]
    names: dict[str, tuple[str, ...]] = {row.name: (row.name,) for row in rows} | GROUPS
    finetune = "finetune" if grid == "full" else "finetune-cheap"
    for name in ELEVEN:
        names[name] = chosen((f"{name}-linear",), (f"{name}-{finetune}",))
        names[f"{name}-finetune"] = (f"{name}-{finetune}",)
    if grid == "cheap":
        names["finetune11"] = tuple(f"{name}-{finetune}" for name in ELEVEN)
    demo = [row.name for row in rows if row.suite == "demo"]
    of_labels = tuple(name for name in demo if name.endswith("pct"))
    names["demo"] = chosen(tuple(name for name in demo if name not in of_labels), of_labels)
    return names


def run() -> None:
    cli.run(Args, main, prog=COMMAND, benchmarks=benchmark_lines(CLASSIFICATION))


if __name__ == "__main__":
    run()
