"""Batches of labelled images, read and transformed in as many processes as there is work for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from transfer.tasks.classification.labelled import LabelledImages
from transfer.tasks.classification.order import Order
from transfer.tasks.classification.transforms import Transform

MAX_WORKERS = 16  # of one process; more of them wait for the disk
VIEW_STREAM = 2  # of the seed's random numbers


class _Transformed(Dataset):
    def __init__(self, images: LabelledImages, transform: Transform) -> None:
        self._images, self._transform = images, transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> Tensor:
        return self._transform(self._images.read(row))


def batches(images: LabelledImages, transform: Transform, *, batch_size: int, num_workers: int = 0) -> Iterator[Tensor]:
    """(B, 3, H, W) batches in the order of the rows; the last one may be smaller.

    Args:
        num_workers: reading processes; 0 reads in this one.
    """
    yield from DataLoader(
        _Transformed(images, transform),
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
    )


def default_workers(device: str, num_processes: int = 1) -> int:
    """Reading processes for each of ``num_processes``: none on CPU, where a trial has one core; else all cores."""
    if device == "cpu":
        return 0
    return min(len(os.sched_getaffinity(0)) // num_processes, MAX_WORKERS)


class TrainingBatch(NamedTuple):
    """This process's part of a step: ``views`` (B, 3, H, W) of the images ``rows`` (B,)."""

    step: int
    rows: NDArray[np.int64]
    views: Tensor


class _RandomViews(Dataset):
    """Views whose random numbers hang on seed, epoch and image alone: not on who reads them, nor on what was before."""

    def __init__(self, images: LabelledImages, transform: Transform, seed: int) -> None:
        self._images, self._transform, self._seed = images, transform, seed

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> list[Tensor]:
        with torch.random.fork_rng(devices=[]):
            return [self._view(epoch, row) for epoch, row in items]

    def _view(self, epoch: int, row: int) -> Tensor:
        image = self._images.read(row)
        state = np.random.SeedSequence([self._seed, VIEW_STREAM, epoch, row]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))
        return self._transform(image)


def training_batches(
    images: LabelledImages,
    transform: Transform,
    order: Order,
    *,
    steps: range,
    rank: int = 0,
    num_processes: int = 1,
    num_workers: int = 0,
) -> Iterator[TrainingBatch]:
    """Random views of the images of each step; each process gets its share of the step, as even as can be.

    Args:
        transform: draws from torch's global generator.
        order: of all processes; its seed also draws the views.
        steps: from the first one that is still to do.
    """

    def items() -> Iterator[list[tuple[int, int]]]:
        for step in steps:
            epoch = order.epoch(step)
            yield [(epoch, int(row)) for row in _share(order, step, rank, num_processes)]

    loader = DataLoader(
        _RandomViews(images, transform, order.seed),
        batch_sampler=items(),
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else the loader draws from the trial's own
        multiprocessing_context="fork" if num_workers else None,  # what reads an image cannot be pickled
    )
    for step, views in zip(steps, loader, strict=True):
        yield TrainingBatch(step, _share(order, step, rank, num_processes), views)


def _share(order: Order, step: int, rank: int, num_processes: int) -> NDArray[np.int64]:
    return np.array_split(order.rows(step), num_processes)[rank]
