"""From labelled images to batches of the network's input: views, the order of training images, and the reading."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_dtype

from transfer.streams import Stream, rng, torch_seed
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.protocol import Interpolation, Views
from transfer.tasks.classification.training import Group
from transfer.weights.backbone import Preprocessing
from twist_common.shared_memory import check_shared_memory

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_WORKERS = 16  # per process; more of them wait for the disk


@dataclass(frozen=True)
class View:
    """How an image becomes a network's input, in two steps: bytes are sent to the device, and scaled there.

    Attributes:
        cut: RGB image to its view, (3, H, W) of uint8; where it is random it draws from torch's global generator.
        scaled: views (..., 3, H, W) of uint8 to float32, normalised as the backbone was trained. Equal to the bit on
            the CPU, one image at a time or many; on GPUs up to float32's rounding.
    """

    cut: Callable[[Image], Tensor]
    scaled: Callable[[Tensor], Tensor]

    def __call__(self, image: Image) -> Tensor:
        """RGB image to (3, H, W) float32."""
        return self.scaled(self.cut(image))


@dataclass(frozen=True, kw_only=True)
class CenterCrop:
    """Short side to ``resize`` pixels, then the middle ``crop`` × ``crop``; None skips a step."""

    resize: int | None
    crop: int | None
    interpolation: Interpolation = "bicubic"


def center_crop(size: CenterCrop, preprocessing: Preprocessing) -> View:
    """The view of every evaluation."""
    steps: list[v2.Transform] = []
    if size.resize is not None:
        steps.append(v2.Resize(size.resize, interpolation=v2.InterpolationMode(size.interpolation)))
    if size.crop is not None:
        steps.append(v2.CenterCrop(size.crop))
    return _view(steps, preprocessing)


def training_view(views: Views, arch: str, preprocessing: Preprocessing) -> View:
    """A random view of a backbone, (3, size, size)."""
    steps: list[v2.Transform]
    if views.augment == "crop and flip":
        steps = [
            v2.RandomResizedCrop(
                views.size,
                scale=(views.min_scale, 1.0),
                interpolation=v2.InterpolationMode(views.interpolation_for(arch)),
            ),
            v2.RandomHorizontalFlip(),
        ]
    else:
        steps = [v2.RandomCrop(views.size, padding=views.max_shift, padding_mode="edge")]
    return _view(steps, preprocessing)


def scoring_view(views: Views, arch: str, preprocessing: Preprocessing) -> View:
    """An image's middle, (3, size, size), as a backbone takes it."""
    middle = CenterCrop(resize=views.resize, crop=views.size, interpolation=views.interpolation_for(arch))
    return center_crop(middle, preprocessing)


def _view(steps: Sequence[v2.Transform], preprocessing: Preprocessing) -> View:
    """A view that is cut by these steps and brought to the scale and the colour order of the backbone's training."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))

    def scaled(views: Tensor) -> Tensor:
        levels = to_dtype(views, torch.float32, scale=True)
        if preprocessing.colour_order != "RGB":
            levels = levels.flip(-3)
        # torchvision's normalize makes the host wait for both.
        mean_there, std_there = (values.to(views.device, non_blocking=True) for values in (mean, std))
        return levels.sub(mean_there).div_(std_there)

    return View(v2.Compose([*steps, v2.ToImage(), v2.ToPureTensor()]), scaled)


class _Viewed(Dataset):
    def __init__(self, images: LabelledImages, view: View) -> None:
        self._images, self._view = images, view

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> Tensor:
        return self._view.cut(self._images.read(row))


def batches(
    images: LabelledImages,
    view: View,
    *,
    batch_size: int,
    device: str,
    done: Callable[[int], None] = lambda rows: None,
) -> Iterator[tuple[slice, Tensor]]:
    """Rows and their views (B, 3, H, W) on the device, in the order of the rows; the last batch may be smaller.

    Args:
        done: called with the number of images done, after what the caller does with a batch.
    """
    start = 0
    num_workers = default_workers(device)
    _check_room(images, view, num_workers, batch_size)
    for views in DataLoader(
        _Viewed(images, view),
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=device != "cpu",
        multiprocessing_context=_context(num_workers),
    ):
        rows = slice(start, start + len(views))
        yield rows, view.scaled(views.to(device, non_blocking=True))
        start = rows.stop
        done(start)


def _check_room(images: LabelledImages, view: View, num_workers: int, batch_size: int) -> None:
    """See :func:`twist_common.shared_memory.check_shared_memory`; one image is read for its size."""
    if num_workers:
        with torch.random.fork_rng(devices=[]):
            check_shared_memory(num_workers, batch_size * view.cut(images.read(0)).nbytes)


def default_workers(device: str, num_processes: int = 1) -> int:
    """Reading processes for each of ``num_processes``: none on CPU, where a trial has one core; else all cores."""
    if device == "cpu":
        return 0
    return min(len(os.sched_getaffinity(0)) // num_processes, MAX_WORKERS)


def _context(num_workers: int) -> str | None:
    """How reading processes are started: forked, for what reads an image cannot be pickled.

    The default would not do: in a trial, which a fork server started, it is a fork server too.
    """
    return "fork" if num_workers else None


@dataclass(frozen=True, kw_only=True)
class Order:
    """Epochs of shuffled images in batches: which images make up which step is a function of seed and step alone.

    Attributes:
        whole_batches: drop each epoch's last, smaller batch. Fewer images than a batch make one smaller batch all the
            same.
        parts: into how many even parts each step is divided, over each of which batch norm takes its statistics. An
            epoch begins again with its first images until the parts of its last batch are even, as torch's
            DistributedSampler does for processes; parts of one image, which have no statistics, are dropped. None:
            nothing depends on the batch, and no image is shown twice.
    """

    num_images: int
    batch_size: int
    seed: int
    whole_batches: bool
    parts: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        whole, rest = divmod(self._num_shown, self.batch_size)
        least = self.batch_size if self.whole_batches else 2 * self.parts if self.parts else 1
        return max(whole + (rest >= least), 1)

    @property
    def _num_shown(self) -> int:
        """Images of an epoch, before any are dropped."""
        parts = self.parts or 1
        return math.ceil(self.num_images / parts) * parts

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def rows(self, step: int) -> NDArray[np.int64]:
        """The images of a step, over all processes."""
        batch = step % self.steps_per_epoch
        shuffled = _permutation(self.num_images, self.seed, self.epoch(step))
        places = np.arange(batch * self.batch_size, min((batch + 1) * self.batch_size, self._num_shown))
        return shuffled[places % self.num_images]


@functools.lru_cache(maxsize=2)
def _permutation(num_images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return rng(seed, Stream.ORDER, epoch).permutation(num_images)


class TrainingBatch(NamedTuple):
    """This process's part of a step: ``views`` (B, 3, H, W) of uint8, as :class:`View` cuts them, of ``rows`` (B,)."""

    step: int
    rows: NDArray[np.int64]
    views: Tensor


class _RandomViews(Dataset):
    """Views whose random numbers depend on seed, epoch and image alone: not on who reads them, or on earlier ones."""

    def __init__(self, images: LabelledImages, view: View, seed: int) -> None:
        self._images, self._view, self._seed = images, view, seed

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> list[Tensor]:
        views = []
        with torch.random.fork_rng(devices=[]):
            for epoch, row in items:
                image = self._images.read(row)
                torch.manual_seed(torch_seed(self._seed, Stream.VIEWS, epoch, row))
                views.append(self._view.cut(image))
        return views


def training_batches(
    images: LabelledImages, view: View, order: Order, *, steps: range, group: Group
) -> Iterator[TrainingBatch]:
    """Random views of the images of each step; each process gets as even a share of the step as possible.

    Args:
        view: draws from torch's global generator.
        order: of all processes; its seed also draws the views.
        steps: from the first one that is still to be done.
        group: this process and those that take the steps with it.
    """
    num_workers = default_workers(group.device, group.num_processes)

    def share(step: int) -> NDArray[np.int64]:
        return np.array_split(order.rows(step), group.num_processes)[group.rank]

    _check_room(images, view, num_workers * group.num_processes, math.ceil(order.batch_size / group.num_processes))
    loader = DataLoader(
        _RandomViews(images, view, order.seed),
        batch_sampler=([(order.epoch(step), int(row)) for row in share(step)] for step in steps),
        num_workers=num_workers,
        pin_memory=group.device != "cpu",
        generator=torch.Generator(),  # else the loader draws from the trial's own
        multiprocessing_context=_context(num_workers),
    )
    for step, views in zip(steps, loader, strict=True):
        yield TrainingBatch(step, share(step), views)
