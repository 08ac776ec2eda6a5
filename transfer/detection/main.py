"""``tools/transfer_det.sh``: detection and instance segmentation trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from common import cli
from transfer.cli import TrialArgs, run_benchmarks

COMMAND = "tools/transfer_det.sh"
BENCHMARKS = {name: (name,) for name in ("voc", "coco", "demo-voc", "demo-coco")}


@dataclass
class Args(TrialArgs):
    """Detection and instance segmentation with Detectron2, from any known checkpoint, five trials.

    benchmarks:
      voc        Faster R-CNN R50-FPN, VOC07+12 trainval -> VOC07 test, 24k iterations at batch 16
      coco       Mask R-CNN R50-FPN, train2017 -> val2017, 90k iterations at batch 16
      demo-voc   Faster R-CNN R18-FPN on the embedded digits, CPU, half a minute a trial
      demo-coco  Mask R-CNN R18-FPN on the embedded digits, CPU, half a minute a trial

    The checkpoint is converted first, and the conversion proven. Killed trials go on when started again.

    examples:
      tools/transfer_det.sh demo-voc runs/pretrain/demo/backbone.pth
      tools/transfer_det.sh coco moco_v2_800ep.pth.tar --name moco_v2
      tools/transfer_det.sh voc resnet50.pth SOLVER.MAX_ITER=48000   (shown as off protocol)
    """


def main(args: Args) -> int:
    return run_benchmarks(args, BENCHMARKS, COMMAND)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
