"""What commands ask of a user's own data, and how they find them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from transfer.doctor.own_data import completed
from transfer.rows import Benchmark, DatasetRow, DenseDataset
from transfer.task import task_of
from transfer.tasks.own_files import NOT_NAMED, NamedFiles, described
from transfer.trials.plan import TrialPlan, data_root
from twist_common.errors import UserError


@dataclass(kw_only=True)
class OwnDataArgs:
    """Options for own data, where their files are not found by their names."""

    train_file: Annotated[Path | None, arg(metavar="FILE")] = None
    """own data: the file that says which images are for training, below --data: COCO's JSON, or a list of names"""
    test_file: Annotated[Path | None, arg(metavar="FILE")] = None
    """own data: the same for the test"""
    classes_file: Annotated[Path | None, arg(metavar="FILE")] = None
    """own masks: names of the classes, a line each, with their ids or colours; by default classes.txt or the like"""
    ignore_value: Annotated[str | None, arg(metavar="ID|R,G,B")] = None
    """own masks: what pixels hold that are not labelled; by default 255, where masks hold ids"""

    def named_files(self) -> NamedFiles:
        """What was named."""
        return NamedFiles(
            train=self.train_file, test=self.test_file, classes=self.classes_file, ignored=self.ignore_value
        )


def with_own_data(benchmark: Benchmark, data: Path | None, named: NamedFiles, *, must_exist: bool = True) -> Benchmark:
    """The benchmark on the user's own data, of which it prints what they are; other benchmarks as they are.

    Raises:
        UserError: no folder is given, or see :func:`transfer.doctor.own_data.completed`.
    """
    row = benchmark.dataset
    if not row.is_own and named == NOT_NAMED:
        return benchmark
    if row.is_own and data is None:
        raise UserError(f"{benchmark.typed} is for your own data: give their folder with --data DIR")
    if not isinstance(row, DenseDataset) and not must_exist and data is not None and not data.is_dir():
        return benchmark  # a plan can do without
    return dataclasses.replace(benchmark, dataset=own_row(row, data_root(row, data), named))


def own_row(row: DatasetRow, root: Path, named: NamedFiles) -> DatasetRow:
    """:func:`~transfer.doctor.own_data.completed`, with a line that says what the data are."""
    found = completed(row, root, named)
    if found.is_own and isinstance(found, DenseDataset):
        print("; ".join([f"data: {described(found, root)}", *found.remarks]))
    return found


def schedule_line(plan: TrialPlan) -> str:
    """How long a trial on own data trains, which follows from their number.

    Raises:
        UserError: an override that the task refuses.
    """
    (training, *_) = task_of(plan.benchmark).planned_work(plan, None).phases
    epochs = training.num_images / plan.benchmark.dataset.counts["train"]
    return f"schedule: {training.num_steps:,} iterations, {epochs:,.1f} epochs of the training images"


def default_suite(benchmark: Benchmark, data: Path | None) -> str:
    """The folder of records below ``--out``: of own data the name of theirs, which reports show."""
    if benchmark.dataset.embedded:
        return "demo"
    return data.resolve().name if benchmark.dataset.is_own and data is not None else "paper"
