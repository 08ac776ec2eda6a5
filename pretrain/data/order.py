"""The order of training images: a pure function of the seed and the epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from pretrain.data.seeds import order_seed
from pretrain.recipe import Recipe
from twist_common.errors import UserError

Key = tuple[int, int]  # (epoch, index of the image)

# Images are shuffled within windows of this many shards: about 64,000 images of 1,000-image shards, for few open files.
WINDOW_SHARDS = 64


def epoch_order(recipe: Recipe, epoch: int, num_images: int, shard_sizes: Sequence[int] | None = None) -> list[int]:
    """Every image once, in the order of this epoch.

    Args:
        shard_sizes: images in each shard. The shards are visited in random order, and the images of every
            ``WINDOW_SHARDS`` of them are shuffled together; with no more shards than that it is a plain permutation.
    """
    generator = torch.Generator().manual_seed(order_seed(recipe.seed, epoch))
    if shard_sizes is None or len(shard_sizes) <= WINDOW_SHARDS:
        return torch.randperm(num_images, generator=generator).tolist()
    assert sum(shard_sizes) == num_images
    ends = list(itertools.accumulate(shard_sizes))
    shards = torch.randperm(len(shard_sizes), generator=generator).tolist()
    order: list[int] = []
    for start in range(0, len(shards), WINDOW_SHARDS):
        window = [
            index
            for shard in shards[start : start + WINDOW_SHARDS]
            for index in range(ends[shard] - shard_sizes[shard], ends[shard])
        ]
        order += [window[place] for place in torch.randperm(len(window), generator=generator).tolist()]
    return order


class OrderedImages(Protocol):
    """What this module needs of a :class:`pretrain.data.dataset.TwistDataset`."""

    shard_sizes: Sequence[int] | None

    def __len__(self) -> int: ...


class TrainingOrder:
    """This process's lists of (epoch, index), one for each accumulated part of each step, up to the end of the run.

    Images that do not fill a batch at the end of an epoch are dropped. The batch of a step has the same images whatever
    the number of processes, and so does each accumulated part, which the processes share in equal, consecutive pieces.

    Attributes:
        steps_per_epoch: optimiser steps.
    """

    def __init__(
        self, recipe: Recipe, images: OrderedImages, *, step: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        """Starts at any step of the run, for any process.

        Args:
            step: number of completed steps.

        Raises:
            UserError: the batch cannot be split into equal parts, or these into equal pieces.
        """
        batch_size, accumulation = recipe.data.batch_size, recipe.data.accumulation
        if batch_size % (accumulation * world_size):
            parts = f"{accumulation} accumulated parts and " if accumulation > 1 else ""
            raise UserError(
                f"data.batch_size={batch_size} cannot be shared by {parts}{world_size} processes: "
                f"set it to a multiple of {accumulation * world_size}"
            )
        self.steps_per_epoch = len(images) // batch_size
        self._recipe, self._images = recipe, images
        self._step, self._rank, self._world_size = step, rank, world_size

    def __len__(self) -> int:
        return (self._recipe.total_epochs * self.steps_per_epoch - self._step) * self._recipe.data.accumulation

    def __iter__(self) -> Iterator[list[Key]]:
        batch_size = self._recipe.data.batch_size
        part = batch_size // self._recipe.data.accumulation
        share = part // self._world_size
        first_epoch, first_step = divmod(self._step, self.steps_per_epoch)
        for epoch in range(first_epoch, self._recipe.total_epochs):
            order = epoch_order(self._recipe, epoch, len(self._images), self._images.shard_sizes)
            for start in range(first_step * batch_size, self.steps_per_epoch * batch_size, part):
                mine = start + self._rank * share
                yield [(epoch, index) for index in order[mine : mine + share]]
            first_step = 0
