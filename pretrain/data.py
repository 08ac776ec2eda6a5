"""Training images: an ImageFolder, and an order of images that is a pure function of the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import pil_to_tensor

from common.errors import UserError
from common.files import sha256_text
from pretrain.augment import DigitViews, Views, build_views, sample_seed
from pretrain.recipe import Recipe

Key = tuple[int, int]  # (epoch, index of the image)
Batch = tuple[Views, Tensor]  # V views (B, 3, H, W), and labels (B,)


def find_train_folder(root: Path) -> Path:
    """The folder of class folders: ``root/train``, ``root/imagefolder/train``, or else ``root`` itself.

    Raises:
        UserError: ``root`` does not exist.
    """
    if not root.is_dir():
        raise UserError(f"no data at {root}: give the folder that holds train/<class>/<image> with --data")
    folders = [root / "train", root / "imagefolder" / "train"]
    return next((folder for folder in folders if folder.is_dir()), root)


class TwistDataset(Dataset[Any]):
    """Views and labels of images, by (epoch, index).

    Attributes:
        labels: (N,); for monitoring only, nothing is trained on them.
        num_labels: how many there are; 1 where the images are not sorted into classes.
    """

    def __init__(self, root: Path, recipe: Recipe) -> None:
        """Lists the images below ``root``.

        Raises:
            UserError: there are none, fewer than one batch, or (when cached) one cannot be read.
        """
        folder = find_train_folder(root)
        try:
            listing = ImageFolder(str(folder))
        except FileNotFoundError:
            raise UserError(
                f"{folder} holds no class folders with images: the layout is {folder}/<class>/<image>"
            ) from None
        self.paths = [Path(path) for path, _ in listing.samples]
        self.labels = torch.tensor(listing.targets)
        self.num_labels = len(listing.classes)
        if len(self.paths) < recipe.data.batch_size:
            raise UserError(
                f"{folder} has {len(self.paths)} images, fewer than one batch of {recipe.data.batch_size}: "
                "add images or lower data.batch_size"
            )
        names = [path.relative_to(folder).as_posix() for path in self.paths]
        self.sha256 = sha256_text("\n".join(names))
        self._seed = recipe.seed
        self._views = build_views(recipe)
        self._cache = _read_all(self.paths) if recipe.data.cache or recipe.augmentation.kind == "digits" else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """A whole batch at once; the data loader prefers this to one image at a time.

        Raises:
            UserError: an image cannot be read.
        """
        seeds = [sample_seed(self._seed, epoch, index) for epoch, index in keys]
        indices = [index for _, index in keys]
        labels = self.labels[indices]
        if isinstance(self._views, DigitViews):
            assert self._cache is not None
            return self._views(self._cache[indices], seeds), labels
        return self._views([read_image(self.paths[index]) for index in indices], seeds), labels


def read_image(path: Path) -> Image.Image:
    """The image as RGB.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise UserError(f"cannot read the image {path} ({error}): replace or remove it") from None


def _read_all(paths: Sequence[Path]) -> Tensor:
    """Every image, decoded: (N, 3, H, W) of uint8."""
    images = [pil_to_tensor(read_image(path)) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise UserError(
                f"{path} has {image.shape[2]}x{image.shape[1]} pixels and {paths[0]} has "
                f"{images[0].shape[2]}x{images[0].shape[1]}: this recipe wants images of one size"
            )
    return torch.stack(images)


class TrainingOrder:
    """This process's batches of (epoch, index), from ``first_epoch`` to the last.

    Each epoch is a permutation drawn from (seed, epoch); what does not fill a batch is left out. Every step's batch
    is the same images whatever the number of processes, which share it in equal parts.
    """

    def __init__(
        self, recipe: Recipe, num_images: int, *, first_epoch: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if recipe.data.batch_size % world_size:
            raise UserError(
                f"data.batch_size={recipe.data.batch_size} cannot be shared by {world_size} processes: "
                f"set it to a multiple of {world_size}"
            )
        self.steps_per_epoch = num_images // recipe.data.batch_size
        self._recipe, self._num_images = recipe, num_images
        self._first_epoch, self._rank, self._world_size = first_epoch, rank, world_size

    def __len__(self) -> int:
        return (self._recipe.epochs - self._first_epoch) * self.steps_per_epoch

    def __iter__(self) -> Iterator[list[Key]]:
        batch_size = self._recipe.data.batch_size
        share = batch_size // self._world_size
        for epoch in range(self._first_epoch, self._recipe.epochs):
            generator = torch.Generator().manual_seed(sample_seed(self._recipe.seed, epoch, -1))
            order = torch.randperm(self._num_images, generator=generator).tolist()
            for step in range(self.steps_per_epoch):
                start = step * batch_size + self._rank * share
                yield [(epoch, index) for index in order[start : start + share]]


def _as_is(batch: Any) -> Any:
    return batch


def build_loader(recipe: Recipe, dataset: TwistDataset, order: TrainingOrder, pin_memory: bool) -> DataLoader[Any]:
    """Loads the batches of ``order``, across the epochs without a pause."""
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=recipe.run.num_workers,
        collate_fn=_as_is,
        pin_memory=pin_memory,
    )
