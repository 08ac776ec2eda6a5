"""``tools/transfer_cls.sh``: classification trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common import cli
from transfer.cli import TrialArgs, run_benchmarks

COMMAND = "tools/transfer_cls.sh"
MODES = {"linear": ("demo-linear",), "finetune": ("demo-finetune",), "both": ("demo-linear", "demo-finetune")}


@dataclass
class Args(TrialArgs):
    """Classification from any known checkpoint: linear on frozen features, and fine-tuning; five trials.

    benchmarks:
      demo  the embedded digits, few labels: linear and fine-tuning, CPU, seconds a trial

    example: tools/transfer_cls.sh demo runs/pretrain/demo/backbone.pth --mode linear
    """

    mode: Literal["linear", "finetune", "both"] = "both"
    """a linear classifier on frozen features, fine-tuning of the whole network, or one after the other"""


def main(args: Args) -> int:
    return run_benchmarks(args, {"demo": MODES[args.mode]}, COMMAND)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
