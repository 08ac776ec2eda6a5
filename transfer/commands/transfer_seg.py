"""``tools/transfer_seg.sh``: semantic segmentation trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.benchmarks import SEGMENTATION
from transfer.commands.trial_command import DenseArgs, benchmark_lines, run_dense
from twist_common import cli

COMMAND = "tools/transfer_seg.sh"


@dataclass
class Args(DenseArgs):
    """Semantic segmentation with MMSegmentation (FCN-FPN, plain 7x7 stem), from any known checkpoint, five trials.

    benchmarks, and what --frozen turns them into (benchmarks of their own):
    {benchmarks}

    With fewer GPUs the batch stays the same, in parts where a GPU's memory requires it; --rescale changes it together
    with its schedule. The checkpoint is converted first, and the conversion proven. Killed trials resume when started
    again.

    examples:
      tools/transfer_seg.sh demo runs/pretrain/demo/backbone.pth
      tools/transfer_seg.sh demo runs/pretrain/demo/backbone.pth --frozen
      tools/transfer_seg.sh voc moco_v2_800ep.pth.tar --name moco_v2
      tools/transfer_seg.sh own-masks twist.pth --data /data/leaves
      tools/transfer_seg.sh voc resnet50.pth --canary --rescale 8   (shown as rescaled)
      tools/transfer_seg.sh voc resnet50.pth train_cfg.max_iters=40000   (shown as off protocol)
    """


def main(args: Args) -> int:
    return run_dense(args, SEGMENTATION, COMMAND)


def run() -> None:
    cli.run(Args, main, prog=COMMAND, benchmarks=benchmark_lines(SEGMENTATION))


if __name__ == "__main__":
    run()
