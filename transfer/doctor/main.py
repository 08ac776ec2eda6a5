"""``tools/check_data.sh``: is a data set complete, readable, and laid out as its benchmark wants it?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import Positional

from common import cli
from common.errors import UserError, unknown_name
from transfer.doctor import stamp
from transfer.doctor.check import COMMAND, examine
from transfer.doctor.datasets import DATASETS
from transfer.plan import data_folder


@dataclass
class Args:
    """Checks a data set: layout, number of images, lists, unreadable images, impossible labels, broken boxes.

    data sets:
      voc         VOC07+12 detection: 16,551 + 4,952 images
      seg-voc     VOC12 segmentation with SBD: 10,582 + 1,449 images
      coco        COCO 2017: 118,287 + 5,000 images
      cityscapes  fine annotations: 2,975 + 500 images
      digits      the embedded data as detection and segmentation read them; cls-digits as classification does
      imagenet    1,281,167 + 50,000 images; folder: your own, train/<class>/* and val/<class>/*
      food101, cifar10, cifar100, sun397, cars, aircraft, voc2007, dtd, pets, caltech101, flowers102

    Reads every file. Ends with 0 if all is well, else with 2, one sentence for each kind of problem, and what to fetch.

    example: tools/check_data.sh coco --data /data/coco
    """

    name: Positional[str]
    """which data set"""
    data: Path | None = None
    """the data set's folder; default $DATA_ROOT/<name>, or data/<name> in the repository"""


def main(args: Args) -> int:
    if args.name not in DATASETS:
        raise unknown_name("data set", args.name, DATASETS)
    dataset = DATASETS[args.name]
    try:
        root = data_folder(dataset.data, args.data, of=args.name, detectron2=dataset.detectron2)
    except UserError as error:
        raise UserError(f"{error}; {dataset.guide.format(root='DIR')}") from None
    seen = stamp.fingerprint(root, dataset.parts)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(args.name)
        findings = examine(
            args.name, root, lambda done, total, what: bar.update(task, completed=done, total=total, description=what)
        )
    if not findings.kinds():
        stamp.remember(args.name, root, seen)
        print(f"{args.name} in {root} is complete and readable")
        return cli.EXIT_DONE
    for sentence in findings.sentences():
        print(f"error: {args.name}: {sentence}", file=sys.stderr)
    print(f"what to fetch: {dataset.guide.format(root=root)}", file=sys.stderr)
    return cli.EXIT_BAD_USE


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
