"""``tools/transfer_seg.sh``: semantic segmentation trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from common import cli
from transfer.commands.benchmark_command import DenseArgs, run_dense

COMMAND = "tools/transfer_seg.sh"
BENCHMARKS = {
    "voc": ("seg-voc",),
    "cityscapes": ("seg-cityscapes",),
    "voc-vit-b": ("seg-voc-vit-b",),
    "voc-deit-s": ("seg-voc-deit-s",),
    "demo": ("demo-seg",),
}
FROZEN = {"voc": ("seg-voc-frozen",), "cityscapes": ("seg-cityscapes-frozen",), "demo": ("demo-seg-frozen",)}


@dataclass
class Args(DenseArgs):
    """Semantic segmentation with MMSegmentation (FCN-FPN, plain 7x7 stem), from any known checkpoint, five trials.

    benchmarks:
      voc         R50, VOC12 train + SBD (10,582 images) -> val (1,449), crop 512, 20k iterations at batch 16
      cityscapes  R50, train_fine (2,975) -> val (500), 40k iterations at batch 8
      voc-vit-b   voc with a ViT-B/16 and AdamW; voc-deit-s the same with a DeiT-S/16
      demo        R18 on the embedded digits, CPU, half a minute a trial

    With --frozen the backbone is fixed and a linear head reads its stages: benchmarks of their own (seg-voc-frozen,
    seg-cityscapes-frozen, demo-seg-frozen), in minutes; in seconds for the demo.

    Fewer GPUs: the batch stays, in parts where a GPU's memory asks for it; --rescale changes it and its schedule.
    The checkpoint is converted first, and the conversion proven. Killed trials go on when started again.

    examples:
      tools/transfer_seg.sh demo runs/pretrain/demo/backbone.pth
      tools/transfer_seg.sh demo runs/pretrain/demo/backbone.pth --frozen
      tools/transfer_seg.sh voc moco_v2_800ep.pth.tar --name moco_v2
      tools/transfer_seg.sh voc resnet50.pth --canary --rescale 8   (shown as rescaled)
      tools/transfer_seg.sh voc resnet50.pth train_cfg.max_iters=40000   (shown as off protocol)
    """


def main(args: Args) -> int:
    return run_dense(args, BENCHMARKS, FROZEN, COMMAND)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
