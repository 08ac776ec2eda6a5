"""Views of training images, by epoch and index, and the processes that make them."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pretrain.data.augment import NaturalViews, Views, build_views
from pretrain.data.images import ImageFolderSource, ImageSource, UnreadableImageError, decode
from pretrain.data.listing import find_train_folder
from pretrain.data.ops import Array
from pretrain.data.order import Key, TrainingOrder
from pretrain.data.seeds import sample_seed
from pretrain.data.shards import ShardSource, find_shards
from pretrain.distributed import num_processes
from pretrain.recipe import Recipe
from twist_common.errors import UserError, is_not_the_files, system_sentence
from twist_common.files import sha256_bytes, sha256_text
from twist_common.printable import printable
from twist_common.process import STOP_SIGNALS
from twist_common.shared_memory import check_shared_memory, without_lost_batches

NUM_SIZES = 64  # images whose sizes are compared between processes


class Batch(NamedTuple):
    """One accumulated part of a step.

    Attributes:
        views: V views (B, 3, S, S), uint8 or normalised, for :func:`pretrain.data.device_augment.prepare`.
        labels: (B,).
        seeds: (B,) of int64, the seed of each image's views.
        unreadable: names of images that could not be read and were replaced by others of the batch.
    """

    views: Views
    labels: Tensor
    seeds: Tensor
    unreadable: tuple[str, ...]


class TwistDataset(Dataset[Batch]):
    """Views and labels of images, by (epoch, index).

    Attributes:
        labels: (N,); only for monitoring, nothing is trained on them.
        num_labels: number of different labels; 1 if the images are not sorted into classes.
        shard_sizes: images in each shard; None without shards.
        sha256: hash of the images' names.
    """

    def __init__(self, root: Path, recipe: Recipe, *, index_dir: Path | None = None) -> None:
        """Lists the images below ``root``, in folders, shards or a list: see :func:`find_train_folder`.

        Args:
            index_dir: where the index of shards is kept if it cannot be written beside them.

        Raises:
            UserError: there are none, a class folder is empty, a shard is damaged, there are fewer than one batch, or
                (when cached) one cannot be read.
        """
        folder = find_train_folder(root)
        source: ImageSource
        has_shards = folder.is_dir() and find_shards(folder)
        source = ShardSource(folder, index_dir) if has_shards else ImageFolderSource(folder)
        self.labels, self.sha256, self.shard_sizes = source.labels, source.sha256, source.shard_sizes
        self.num_labels = len(self.labels.unique())
        if len(self) < recipe.data.batch_size:
            ways = "add images or lower data.batch_size" + ", or take the recipe small" * (recipe.name != "small")
            raise UserError(
                f"{folder} has {len(self)} images, fewer than one batch of {recipe.data.batch_size}: {ways}"
            )
        self._source, self._recipe, self._folder = source, recipe, folder
        self._cache: Array | None = None
        self._missing: set[int] = set()  # images that could not be read into the cache
        if recipe.data.cache or recipe.augmentation.kind == "digits":
            self._cache = self._read_all()

    def __len__(self) -> int:
        return len(self.labels)

    def summary(self) -> str:
        """How many images there are and where, for people; and which are left out."""
        classes = f"{self.num_labels:,} classes" if self.num_labels > 1 else "not sorted into classes"
        num_shards = len(self.shard_sizes or [])
        shards = f", {num_shards:,} shard{'s' * (num_shards > 1)}" if num_shards else ""
        text = f"images: {len(self):,} in {self._folder}, {classes}{shards}"
        if kinds := ", ".join(f"{number:,} {suffix}" for suffix, number in self._source.left_out.most_common()):
            text += f"; left out, because their format is not read: {kinds} (save them as JPEG or PNG)"
        return printable(text)

    def fingerprint(self) -> str:
        """Hash of the images' names, labels and shards, and of some images' sizes, to compare between processes."""
        sizes = []
        for index in np.linspace(0, len(self) - 1, NUM_SIZES).astype(int).tolist():
            try:
                sizes.append(len(self._source.read(index)))
            except OSError:
                sizes.append(-1)
        labels = sha256_bytes(self.labels.numpy().tobytes())
        return sha256_text(f"{self.sha256} {labels} {self.shard_sizes} {sizes}")

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """Makes a whole batch at once; the data loader prefers this to one image at a time.

        An image that cannot be read is replaced by the next readable one of the batch.

        Args:
            keys: all of the same epoch.

        Raises:
            UserError: an image cannot be read, and the recipe does not say to skip it; or no image can be read.
        """
        (epoch,) = {epoch for epoch, _ in keys}
        indices = [index for _, index in keys]
        seeds = [sample_seed(self._recipe.seed, epoch, index) for index in indices]
        images: dict[int, Array] = {}
        unreadable = []
        for index in indices:
            try:
                images[index] = self._image(index)
            except UnreadableImageError:
                unreadable.append(self._source.name(index))
        if not images:
            raise UserError(
                f"none of the {len(indices)} images of a batch can be read, {unreadable[0]} among them: check the data "
                "and the disk"
            )
        chosen = [next(i for i in [*indices[place:], *indices] if i in images) for place in range(len(indices))]
        found = [images[index] for index in chosen]
        make_views = build_views(self._recipe, epoch)
        if isinstance(make_views, NaturalViews):
            views = make_views(found, seeds)
        else:
            views = make_views(torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous(), seeds)
        return Batch(views, self.labels[chosen], torch.tensor(seeds), tuple(unreadable))

    def _image(self, index: int) -> Array:
        """(H, W, 3) of uint8, from the cache if there is one.

        Raises:
            UnreadableImageError: it cannot be read, and the recipe says to skip it.
            UserError: it cannot be read, and the recipe says to stop.
        """
        if index in self._missing:
            raise UnreadableImageError
        if self._cache is not None:
            cached: Array = self._cache[index]
            return cached
        try:
            return decode(self._source.read(index))
        except (OSError, UnreadableImageError) as error:
            if isinstance(error, OSError) and is_not_the_files(error):
                raise UserError(system_sentence(error)) from None  # an OSError of a loading process loses its number
            if self._recipe.data.unreadable == "skip":
                raise UnreadableImageError from None
            reason = (isinstance(error, OSError) and error.strerror) or error
            raise UserError(
                f"cannot read the image {self._source.name(index)} ({reason}): replace or remove it, or set "
                "data.unreadable=skip"
            ) from None

    def _read_all(self) -> Array:
        """All images, decoded: (N, H, W, 3); unreadable ones are black and listed in ``_missing``."""
        images: Array | None = None
        first = 0
        for index in range(len(self)):
            try:
                image = self._image(index)
            except UnreadableImageError:
                self._missing.add(index)
                continue
            if images is None:
                images, first = np.zeros((len(self), *image.shape), np.uint8), index
            if image.shape != images.shape[1:]:
                (height, width, _), (other_height, other_width, _) = image.shape, images.shape[1:]
                raise UserError(
                    f"{self._source.name(index)} has {width}x{height} pixels and {self._source.name(first)} has "
                    f"{other_width}x{other_height}: this recipe needs images of one size"
                )
            images[index] = image
        if images is None:
            raise UserError(f"none of the images can be read, {self._source.name(0)} among them: check the data")
        return images


def load_steps(
    recipe: Recipe, dataset: TwistDataset, order: TrainingOrder, *, pin_memory: bool
) -> Generator[list[Batch], None, None]:
    """Yields the accumulated parts of each step of ``order``, without a pause between epochs.

    They are made by ``run.num_workers`` processes, which end when the generator is closed.

    Raises:
        UserError: see :meth:`TwistDataset.__getitems__` and :func:`twist_common.shared_memory.check_shared_memory`.
    """
    part = recipe.data.batch_size // (recipe.data.accumulation * num_processes())
    num_workers = recipe.run.num_workers * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    check_shared_memory(num_workers, part * 3 * recipe.crops.num_pixels)
    loader: DataLoader[Any] = DataLoader(
        _ErrorsAsValues(dataset),
        batch_sampler=order,
        num_workers=recipe.run.num_workers,
        collate_fn=_as_is,
        worker_init_fn=_begin_loading,
        pin_memory=pin_memory,
    )
    parts = []
    for batch in without_lost_batches(loader):
        if isinstance(batch, UserError):
            raise batch
        parts.append(batch)
        if len(parts) == recipe.data.accumulation:
            yield parts
            parts = []


class _ErrorsAsValues(Dataset[Any]):
    """Passes a UserError from a loading process to the training process as a value instead of a traceback."""

    def __init__(self, dataset: TwistDataset) -> None:
        self.dataset = dataset

    def __getitems__(self, keys: Sequence[Key]) -> Batch | UserError:
        try:
            return self.dataset.__getitems__(keys)
        except UserError as error:
            return error


def _as_is(batch: Any) -> Any:
    return batch


def _begin_loading(worker: int) -> None:
    cv2.setNumThreads(0)  # torch does this by itself
    # A request to stop may reach all processes of the group, but the training process ends its loaders itself.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
