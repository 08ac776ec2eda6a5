"""``tools/convert.sh``: a checkpoint to the frameworks' weight files, each with its proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from transfer import compat
from transfer.commands.reading import ReadingArgs
from transfer.hub_source import hub_source
from transfer.timm_source import named_checkpoint
from transfer.weights.backbone.sources import known_layouts
from twist_common import cli
from twist_common.errors import UserError
from twist_common.files import make_dir

if TYPE_CHECKING:
    from transfer.weights.convert.convert import Converted

COMMAND = "tools/convert.sh"


@dataclass
class Args:
    """Converts a checkpoint's backbone for other frameworks, and proves each conversion.

    {layouts}

    Any other checkpoint: say where its network is, with --entry, --prefix, --drop and --arch, and how images were
    scaled for it, with --mean and --std. A refusal ends with this command, filled in as far as the file shows it. Every
    tensor below the prefix is the network's or dropped by name, every tensor of the network is there, and the proof is
    the same. All commands that take a checkpoint take these options.

    A file is put in place only after the framework's own backbone, loaded from it, computed the same feature maps as
    the source at every stage. The table shows the largest difference of each stage; the tolerance is 1e-5 of the
    feature map's RMS. <stem>.proof.json holds all of it: hashes, key tables, settings, versions.

      detectron2      <stem>.detectron2.pkl: MODEL.WEIGHTS of Detectron2's ResNets, with RESNETS.STRIDE_IN_1X1 False and
                      INPUT.FORMAT RGB
      detectron2-any  <stem>.detectron2-any.pkl: any network, for voc-any and coco-any
      mmseg           <stem>.mmseg.pth: backbone.init_cfg=dict(type='Pretrained', checkpoint=...), with type='ResNet'
                      (ResNetV1c has another stem) or type='VisionTransformer' (patch_bias=True, LN eps=1e-6)
      mmseg-any       <stem>.mmseg-any.pth: any network, for voc-any and cityscapes-any
      mmseg-last      <stem>.mmseg-last.pth: as mmseg-any, with a plain ViT's last norm, for voc-linear and its like
      torchvision     <stem>.torchvision.safetensors: model.load_state_dict(load_file(...)) after model.fc = Identity()
      timm            <stem>.timm.safetensors: timm.create_model(..., num_classes=0, checkpoint_path=...)

    examples:
      tools/convert.sh runs/pretrain/demo/backbone.pth
      tools/convert.sh moco_v2_800ep_pretrain.pth.tar --to detectron2 --out weights
      tools/convert.sh mine.ckpt --entry state_dict --prefix module.encoder. --drop 'projector.*' --arch resnet50
      --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
    """

    #: the checkpoint; timm:NAME@FILE for a network of timm, timm:NAME for timm's own weights in the hub's cache,
    #: hf://OWNER/NAME[/FILE][@REVISION] for others there
    checkpoint: Annotated[Positional[Path], arg(metavar="CKPT")]
    to: Literal["detectron2", "detectron2-any", "mmseg", "mmseg-any", "mmseg-last", "torchvision", "timm", "all"] = (
        "all"
    )
    """the framework to convert for"""
    out: Path | None = None
    """folder of the files; default: beside the checkpoint, for hf:// the current one"""
    reading: ReadingArgs = field(default_factory=ReadingArgs)


def main(args: Args) -> None:
    from transfer.weights.backbone import load_backbone
    from transfer.weights.convert.convert import convert, get_target, targets_of

    path, arch = named_checkpoint(str(args.checkpoint), args.reading.arch)
    backbone = load_backbone(path, args.reading.which, arch, args.reading.reading())
    what = f"{backbone.source_format}, {backbone.arch}, {backbone.which}, sha256 {backbone.sha256[:16]}"
    print(f"{path}: {what}")
    if backbone.other is not None:
        print(f"the {backbone.which} is taken; it holds a {backbone.other} too: --which {backbone.other} takes that")
    targets = targets_of(backbone.arch) if args.to == "all" else {args.to: get_target(args.to, backbone.arch)}
    absent = {
        name: reason
        for name, target in targets.items()
        if (reason := target.absent.get(backbone.arch) or compat.missing_framework(name))
    }
    if args.to in absent:
        raise UserError(absent[args.to])
    hub = hub_source(str(args.checkpoint))
    out = make_dir(args.out or (path.parent if hub is None else Path()))
    stem = (path.stem if hub is None else hub[1]) + ("-teacher" if backbone.which == "teacher" else "")
    print_table([convert(backbone, target, out, stem) for name, target in targets.items() if name not in absent])
    for name, reason in absent.items():
        print(f"not for {name}: {reason}")


def print_table(results: list[Converted]) -> None:
    """The largest difference of each stage, and the files; a header for each choice of stages."""
    header: list[str] = []
    for result in results:
        if header != (header := list(result.proof["stages"])):
            print(f"\n{'max abs difference':20s}" + "".join(f"{stage:>13s}" for stage in header))
        differences = [stage["max_abs_difference"] for stage in result.proof["stages"].values()]
        print(f"{result.proof['target']:20s}" + "".join(f"{difference:13.1e}" for difference in differences))
    print()
    for path in [*(result.path for result in results), results[0].proof_path]:
        print(path)


def run() -> None:
    cli.run(Args, main, prog=COMMAND, layouts=known_layouts())


if __name__ == "__main__":
    run()
