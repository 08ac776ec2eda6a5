"""``tools/demo.sh`` after its set-up: from nothing to a report on embedded data, one command after the other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from transfer import compat
from transfer.commands.main import COMMANDS
from twist_common import cli
from twist_common.errors import UserError
from twist_common.places import data_root
from twist_common.process import run_module

COMMAND = "tools/demo.sh"
QUICK = ("demo-linear", "demo-cluster", "demo-1pct", "demo-seg-frozen")


@dataclass(frozen=True)
class Args:
    """Pre-trains a small ResNet with TWIST on real handwritten digits, converts it with proof, runs every benchmark
    of the suite demo from these weights and from random ones, the cheap ones first, and writes the report.

    Ten to fifteen minutes on two cores, no GPU, no download of data. Killed at any moment and started again, it resumes
    where it was. Finished, it changes nothing.
    """

    quick: bool = False
    """the four cheapest benchmarks with three trials: less than four minutes"""
    trials: int | None = None
    """trials of each benchmark and initialisation; default 5, with --quick 3"""
    out: Path = Path("runs")
    """where everything goes: OUT/pretrain/demo, OUT/demo/<benchmark>/..., OUT/demo/report.html"""


def main(args: Args) -> int:
    if args.trials is not None and args.trials < 1:
        raise UserError(f"--trials is {args.trials}: give a whole number from 1 up")
    for framework in ("mmseg",) if args.quick else ("mmseg", "detectron2"):
        if reason := compat.missing_framework(framework):
            raise UserError(reason)
    check_place(data_root() / "digits")
    failed = 0
    for name, arguments in steps(args):
        code = run_module(COMMANDS[name][0], [*map(str, arguments)])
        if code and (name != "suite" or code != cli.EXIT_TRIAL_FAILED):
            return code
        failed = failed or code  # a failed trial is reported, not hidden: the report is written all the same
    return failed


def check_place(digits: Path) -> None:
    """Raises UserError where the embedded data are not and cannot be written, as in a checkout of somebody else's."""
    nearest = next(folder for folder in (digits.resolve(), *digits.resolve().parents) if folder.exists())
    if not digits.exists() and not os.access(nearest, os.W_OK):
        raise UserError(f"cannot write to {nearest}, where the digits belong: set DATA_ROOT to a folder for data")


def steps(args: Args) -> list[tuple[str, list[str | Path]]]:
    """The commands of the demo in their order, each with its arguments."""
    digits = data_root() / "digits"
    pretraining = args.out / "pretrain" / "demo"
    backbone, runs = pretraining / "backbone.pth", args.out / "demo"
    weights = [f"twist={backbone}", "random=random:resnet18"]
    trials = str(args.trials or (3 if args.quick else 5))
    suite: list[str | Path] = ["--only", *QUICK] if args.quick else []
    suite += ["--weights", *weights, "--data", digits, "--trials", trials, "--out", args.out, "--report"]
    return [
        ("demo-data", ["--out", digits]),
        ("pretrain", ["demo", "--data", digits / "imagefolder", "--out", pretraining]),
        ("convert", [backbone, "--to", "all", "--out", pretraining / "converted"]),
        ("check-data", ["cls-digits", "--data", digits, "--pretraining", digits / "imagefolder/train", "--out", runs]),
        ("suite", ["demo", *suite]),
        ("report", [runs, args.out / "pretrain", "--baseline", "random"]),
    ]


def run() -> None:
    cli.run(Args, main, prog=COMMAND)


if __name__ == "__main__":
    run()
