"""Views of training images, by epoch and index, and the processes that make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common.errors import UserError
from pretrain.data.augment import NaturalViews, Views, build_views, sample_seed
from pretrain.data.images import ImageFolderSource, ImageSource, UnreadableImageError, decode, find_train_folder
from pretrain.data.ops import Array
from pretrain.data.order import Key, TrainingOrder
from pretrain.data.shards import ShardSource, find_shards
from pretrain.recipe import Recipe

__all__ = ["Batch", "TrainingOrder", "TwistDataset", "build_loader"]


class Batch(NamedTuple):
    """What the data loader gives for one accumulated part of a step.

    Attributes:
        views: V views (B, 3, S, S), uint8 or normalised; :func:`pretrain.data.device_augment.prepare` takes them.
        labels: (B,).
        seeds: (B,) of int64, what each image's views were drawn from.
        unreadable: images that could not be read and were replaced by others of the batch.
    """

    views: Views
    labels: Tensor
    seeds: Tensor
    unreadable: tuple[str, ...]


class TwistDataset(Dataset[Batch]):
    """Views and labels of images, by (epoch, index).

    Attributes:
        labels: (N,); for monitoring only, nothing is trained on them.
        num_labels: how many there are; 1 where the images are not sorted into classes.
        shard_sizes: images in each shard; None where there are no shards.
        sha256: of the images' names.
    """

    def __init__(self, root: Path, recipe: Recipe, *, index_dir: Path | None = None) -> None:
        """Lists the images below ``root``: class folders or shards, see :func:`find_train_folder`.

        Args:
            index_dir: where the index of shards is kept if it cannot be written beside them.

        Raises:
            UserError: there are none, a class folder is empty, a shard is damaged, there are fewer than one batch, or
                (when cached) one cannot be read.
        """
        folder = find_train_folder(root)
        source: ImageSource
        source = ShardSource(folder, index_dir) if find_shards(folder) else ImageFolderSource(folder)
        self.labels, self.sha256, self.shard_sizes = source.labels, source.sha256, source.shard_sizes
        self.num_labels = len(self.labels.unique())
        if len(self) < recipe.data.batch_size:
            raise UserError(
                f"{folder} has {len(self)} images, fewer than one batch of {recipe.data.batch_size}: "
                "add images or lower data.batch_size"
            )
        self._source, self._recipe = source, recipe
        self._cache: Array | None = None
        self._damaged: dict[int, str] = {}  # of the cached images, with the reason
        if recipe.data.cache or recipe.augmentation.kind == "digits":
            self._cache = self._read_all()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """A whole batch at once; the data loader prefers this to one image at a time.

        Args:
            keys: all of one epoch.

        Raises:
            UserError: an image cannot be read, and the recipe does not say to skip it; or none can be.
        """
        (epoch,) = {epoch for epoch, _ in keys}
        seeds = [sample_seed(self._recipe.seed, epoch, index) for _, index in keys]
        images, indices, unreadable = self._read([index for _, index in keys])
        make_views = build_views(self._recipe, epoch)
        if isinstance(make_views, NaturalViews):
            views = make_views(images, seeds)
        else:
            views = make_views(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), seeds)
        return Batch(views, self.labels[indices], torch.tensor(seeds), tuple(map(self._source.name, unreadable)))

    def _read(self, indices: Sequence[int]) -> tuple[list[Array], list[int], list[int]]:
        """The images; which ones they are, in place of unreadable ones the next of the batch; the unreadable ones."""
        images: dict[int, Array] = {}
        unreadable = []
        for index in indices:
            try:
                images[index] = self._image(index)
            except UnreadableImageError as error:
                if self._recipe.data.unreadable == "stop":
                    raise self._unreadable(index, error) from None
                unreadable.append(index)
        if not images:
            raise UserError(
                f"none of the {len(indices)} images of a batch can be read, {self._source.name(indices[0])} among "
                "them: check the data and the disk"
            )
        chosen = [
            index if index in images else next(i for i in [*indices[place:], *indices] if i in images)
            for place, index in enumerate(indices)
        ]
        return [images[index] for index in chosen], chosen, unreadable

    def _image(self, index: int) -> Array:
        """(H, W, 3) of uint8.

        Raises:
            UnreadableImageError: it cannot be read.
        """
        if index in self._damaged:
            raise UnreadableImageError(self._damaged[index])
        if self._cache is not None:
            cached: Array = self._cache[index]
            return cached
        return self._decoded(index)

    def _decoded(self, index: int) -> Array:
        try:
            return decode(self._source.read(index))
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error)) from None

    def _unreadable(self, index: int, error: UnreadableImageError) -> UserError:
        return UserError(
            f"cannot read the image {self._source.name(index)} ({error}): replace or remove it, or set "
            "data.unreadable=skip"
        )

    def _read_all(self) -> Array:
        """Every image, decoded: (N, H, W, 3); what is unreadable is left black and noted."""
        images: Array | None = None
        first = 0
        for index in range(len(self)):
            try:
                image = self._decoded(index)
            except UnreadableImageError as error:
                if self._recipe.data.unreadable == "stop":
                    raise self._unreadable(index, error) from None
                self._damaged[index] = str(error)
                continue
            if images is None:
                images, first = np.zeros((len(self), *image.shape), np.uint8), index
            if image.shape != images.shape[1:]:
                raise UserError(
                    f"{self._source.name(index)} has {_pixels(image)} pixels and {self._source.name(first)} has "
                    f"{_pixels(images[first])}: this recipe wants images of one size"
                )
            images[index] = image
        if images is None:
            raise UserError(f"none of the images can be read, {self._source.name(0)} among them: check the data")
        return images


def _pixels(image: Array) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


class BatchLoader:
    """Makes the batches of an order in processes of their own, across the epochs without a pause."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Batch]:
        """Yields a :class:`Batch` for each list of the order.

        Raises:
            UserError: see :meth:`TwistDataset.__getitems__`.
        """
        for batch in self._loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch


class _ErrorsAsValues(Dataset[Any]):
    """A user's mistake goes from a loading process to the training process as it is, without a traceback around it."""

    def __init__(self, dataset: TwistDataset) -> None:
        self.dataset = dataset

    def __getitems__(self, keys: Sequence[Key]) -> Batch | UserError:
        try:
            return self.dataset.__getitems__(keys)
        except UserError as error:
            return error


def build_loader(recipe: Recipe, dataset: TwistDataset, order: TrainingOrder, pin_memory: bool) -> BatchLoader:
    """Loads the batches of ``order`` with ``run.num_workers`` processes."""
    loader: DataLoader[Any] = DataLoader(
        _ErrorsAsValues(dataset),
        batch_sampler=order,
        num_workers=recipe.run.num_workers,
        collate_fn=_as_is,
        worker_init_fn=_use_one_thread,
        pin_memory=pin_memory,
    )
    return BatchLoader(loader)


def _as_is(batch: Any) -> Any:
    return batch


def _use_one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # torch does this by itself
