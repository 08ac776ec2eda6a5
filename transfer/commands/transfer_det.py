"""``tools/transfer_det.sh``: detection and instance segmentation trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from common import cli
from transfer.commands.benchmark_command import DenseArgs, run_dense

COMMAND = "tools/transfer_det.sh"
RESNET_BENCHMARKS = ("voc", "coco", "voc-c4", "coco-c4", "demo-voc", "demo-coco")
VIT_BENCHMARKS = ("voc-vit-b", "voc-deit-s", "coco-vit-b", "coco-deit-s")
BENCHMARKS = {name: (name,) for name in (*RESNET_BENCHMARKS, *VIT_BENCHMARKS)}
FROZEN = {name: (f"{name}-frozen",) for name in ("voc", "coco", "demo-voc")}


@dataclass
class Args(DenseArgs):
    """Detection and instance segmentation with Detectron2, from any known checkpoint, five trials.

    benchmarks:
      voc        Faster R-CNN R50-FPN, VOC07+12 trainval -> VOC07 test, 24k iterations at batch 16
      coco       Mask R-CNN R50-FPN, train2017 -> val2017, 90k iterations at batch 16
      voc-c4     Faster R-CNN R50-C4 as MoCo has it, otherwise as voc; its figures do not compare with voc's
      coco-c4    Mask R-CNN R50-C4 as MoCo has it, 1x; its figures do not compare with coco's
      voc-vit-b  voc with a ViT-B/16, ViTDet's simple pyramid and AdamW; voc-deit-s the same with a DeiT-S/16
      coco-vit-b coco with a ViT-B/16, ViTDet's simple pyramid and AdamW; coco-deit-s the same with a DeiT-S/16
      demo-voc   Faster R-CNN R18-FPN on the embedded digits, CPU, half a minute a trial
      demo-coco  Mask R-CNN R18-FPN on the embedded digits, CPU, half a minute a trial

    With --frozen, voc, coco and demo-voc become probes that train FPN and heads alone, in a quarter of the iterations
    (demo-voc: three quarters): benchmarks of their own (voc-frozen, coco-frozen, demo-voc-frozen).

    Fewer GPUs: the batch stays, in parts where a GPU's memory asks for it; --rescale changes it and its schedule.
    The checkpoint is converted first, and the conversion proven. Killed trials go on when started again.

    examples:
      tools/transfer_det.sh demo-voc runs/pretrain/demo/backbone.pth
      tools/transfer_det.sh coco moco_v2_800ep.pth.tar --name moco_v2
      tools/transfer_det.sh demo-voc runs/pretrain/demo/backbone.pth --frozen
      tools/transfer_det.sh voc resnet50.pth --canary --rescale 8   (shown as rescaled)
      tools/transfer_det.sh voc resnet50.pth SOLVER.MAX_ITER=48000   (shown as off protocol)
    """


def main(args: Args) -> int:
    return run_dense(args, BENCHMARKS, FROZEN, COMMAND)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
