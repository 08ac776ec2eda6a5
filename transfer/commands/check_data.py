"""``tools/check_data.sh``: is a data set complete, readable, and laid out as its benchmark wants it?"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from transfer import datasets
from transfer.commands.own import OwnDataArgs, own_row
from transfer.doctor.check import COMMAND, examine_if_changed
from transfer.doctor.near_duplicates.within import find_repeats
from transfer.rows import DatasetRow
from transfer.trials.plan import data_root
from twist_common import cli
from twist_common.errors import UserError
from twist_common.printable import printable
from twist_common.progress import progress_bar


@dataclass
class Args:
    """Checks a data set: layout, number of images, lists, unreadable images, impossible labels, broken boxes.

    data sets:
    {datasets}

    Reads every file. Exits with 0 if all is well, else with 2, one sentence for each kind of problem, and what to
    fetch.

    With --pretraining, counts the test images that the pre-training images contain too, exactly or nearly, and writes
    the count to OUT/near-duplicates/<name>.json, where reports find it. Of your own images, counts those of the test
    that are among the training images too.

    examples:
      tools/check_data.sh coco --data /data/coco
      tools/check_data.sh food101 --pretraining /data/imagenet/train
    """

    name: Annotated[Positional[str], arg(metavar="DATASET")]
    """which data set"""
    data: Path | None = None
    """the data set's folder; default $DATA_ROOT/<name>, or data/<name> in the checkout, or here without one"""
    own: OwnDataArgs = field(default_factory=OwnDataArgs)
    pretraining: Annotated[Path | None, arg(metavar="DIR")] = None
    """pre-training images: class folders, a flat folder or *.tar shards; searched for near-duplicates"""
    threshold: int | None = None
    """the hashes of near-duplicates differ in at most this many of 64 bits; default 4"""
    out: Path = Path("runs")
    """where near-duplicates are written"""


def main(args: Args) -> int:
    row = datasets.get(args.name)
    if args.threshold is not None and args.pretraining is None:
        raise UserError("--threshold is for near-duplicates: give --pretraining DIR too")
    try:
        root = data_root(row, args.data)
    except UserError as error:
        raise UserError(f"{error}; {row.title}: {row.guide.format(root='DIR')}") from None
    row = own_row(row, root, args.own.named_files())
    if args.pretraining is None:
        if not check(row, root, again=True):
            return cli.EXIT_BAD_USE
        if row.is_own:
            with progress_bar("listing", stays=True) as progress:
                repeats = find_repeats(row, root, progress)
            for line in repeats.lines() if repeats else []:
                print(printable(line))
        return cli.EXIT_DONE

    from transfer.doctor.near_duplicates.find import DEFAULT_THRESHOLD, check_request, find_near_duplicates, write

    threshold = DEFAULT_THRESHOLD if args.threshold is None else args.threshold
    check_request(args.pretraining, threshold)
    if not check(row, root, again=False):
        return cli.EXIT_BAD_USE
    with progress_bar("listing", stays=True) as progress:
        found, num_unreadable = find_near_duplicates(row, root, args.pretraining, threshold, progress)
    path = write(found, args.out)
    if num_unreadable:
        print(f"left out: {num_unreadable:,} pre-training images that cannot be read", file=sys.stderr)
    print(
        f"{found.near_duplicates:,} of {found.test_images:,} test images of {row.name} have a near-duplicate among "
        f"{found.training_images:,} images of {found.training_source} ({found.exact:,} the same bytes): {path}"
    )
    return cli.EXIT_DONE


def dataset_lines() -> str:
    """The data sets, one per line, as ``--help`` lists them."""
    lines = []
    for row in datasets.DATASETS.values():
        counts = " + ".join(f"{count:,}" for count in row.counts.values())
        lines.append(f"  {row.name:12}{row.title}{f': {counts} images' if counts else ''}")
    return "\n".join(lines)


def check(row: DatasetRow, root: Path, *, again: bool) -> bool:
    """Checks the data set, prints what was found, and returns whether it is in order.

    Args:
        again: read every file even if the data set was in order before, and has not changed since.
    """
    with progress_bar(row.name, stays=True) as progress:
        findings = examine_if_changed(row, root, progress, again=again)
    sentences = findings.sentences()
    for note in findings.notes():
        print(printable(f"note: {row.name}: {note}"))
    for sentence in sentences:
        print(printable(f"error: {row.name}: {sentence}"), file=sys.stderr)
    if sentences:
        print(f"what to fetch: {row.title}: {row.guide.format(root=root)}", file=sys.stderr)
    else:
        print(f"{row.name} in {root} is complete and readable")
    return not sentences


def run() -> None:
    cli.run(Args, main, prog=COMMAND, datasets=dataset_lines())


if __name__ == "__main__":
    run()
