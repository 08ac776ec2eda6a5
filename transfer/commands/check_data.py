"""``tools/check_data.sh``: is a data set complete, readable, and laid out as its benchmark wants it?"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from tyro.conf import Positional, arg

from common import cli
from common.errors import UserError, unknown_name
from transfer.doctor import stamp
from transfer.doctor.check import COMMAND, examine
from transfer.doctor.datasets import DATASETS
from transfer.doctor.files import Progress
from transfer.trials.plan import data_folder


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

    With --pretraining, counts the test images that the pre-training images hold too, exactly or nearly, and writes it
    to OUT/near-duplicates/<name>.json, from where reports take it.

    examples:
      tools/check_data.sh coco --data /data/coco
      tools/check_data.sh food101 --pretraining /data/imagenet/train
    """

    name: Positional[str]
    """which data set"""
    data: Path | None = None
    """the data set's folder; default $DATA_ROOT/<name>, or data/<name> in the repository"""
    pretraining: Annotated[Path | None, arg(metavar="DIR")] = None
    """pre-training images: class folders, a flat folder or *.tar shards; looked through for near-duplicates"""
    threshold: int | None = None
    """bits of 64 in which the hashes of near-duplicates differ at most; default 4"""
    out: Path = Path("runs")
    """where near-duplicates are written"""


def main(args: Args) -> int:
    if args.name not in DATASETS:
        raise unknown_name("data set", args.name, DATASETS)
    if args.threshold is not None and args.pretraining is None:
        raise UserError("--threshold is for near-duplicates: give --pretraining DIR too")
    dataset = DATASETS[args.name]
    try:
        root = data_folder(dataset.data, args.data, of=args.name, detectron2=dataset.detectron2)
    except UserError as error:
        raise UserError(f"{error}; {dataset.guide.format(root='DIR')}") from None
    if args.pretraining is None:
        return cli.EXIT_DONE if _is_sound(args.name, root, look_again=True) else cli.EXIT_BAD_USE

    from transfer.doctor.near_duplicates.find import DEFAULT_THRESHOLD, check_request

    threshold = DEFAULT_THRESHOLD if args.threshold is None else args.threshold
    check_request(args.pretraining, threshold)
    if not _is_sound(args.name, root, look_again=False):
        return cli.EXIT_BAD_USE
    _compare(args.name, root, args.pretraining, threshold, args.out)
    return cli.EXIT_DONE


def _is_sound(name: str, root: Path, *, look_again: bool) -> bool:
    """Checks the data set and says what was found.

    Args:
        look_again: even if it was found in order before, and has not changed since.
    """
    dataset = DATASETS[name]
    seen = stamp.fingerprint(root, dataset.parts)
    if not look_again and stamp.is_known(name, root, seen):
        return True
    with _bar(name) as progress:
        findings = examine(name, root, progress)
    if not findings.kinds():
        stamp.remember(name, root, seen)
        print(f"{name} in {root} is complete and readable")
        return True
    for sentence in findings.sentences():
        print(f"error: {name}: {sentence}", file=sys.stderr)
    print(f"what to fetch: {dataset.guide.format(root=root)}", file=sys.stderr)
    return False


def _compare(name: str, root: Path, pretraining: Path, threshold: int, out: Path) -> None:
    from transfer.doctor.near_duplicates.find import find_near_duplicates, write

    with _bar("listing") as progress:
        found, num_unreadable = find_near_duplicates(name, root, pretraining, threshold, progress)
    path = write(found, out)
    if num_unreadable:
        print(f"left out: {num_unreadable:,} pre-training images that cannot be read", file=sys.stderr)
    print(
        f"{found.near_duplicates:,} of {found.test_images:,} test images of {name} have a near-duplicate among "
        f"{found.training_images:,} images of {found.training_source} ({found.exact:,} the same bytes): {path}"
    )


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """A bar on stderr, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
