"""NBS: the batch norm before the softmax, whose statistics are those of a bunch of images.

Officially a bunch is 256 images, however many processes they are spread over: with statistics of the whole batch
the classes would be easier to even out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.errors import UserError
from pretrain.collectives import normalize_over_processes

if TYPE_CHECKING:
    from pretrain.distributed import Process


@dataclass(frozen=True)
class BunchLayout:
    """How bunches lie over processes: several in each, or each over several.

    Attributes:
        images: of a bunch that one process has.
        processes: that share a bunch; consecutive ranks.
    """

    images: int
    processes: int


def bunch_layout(bunch_size: int | None, part_size: int, world_size: int) -> BunchLayout:
    """How bunches are laid over the processes.

    Args:
        bunch_size: images; None takes the whole part.
        part_size: images over all processes that go through the network together: ``data.batch_size`` divided by
            ``data.accumulation``.

    Raises:
        UserError: the numbers do not divide each other.
    """
    part = f"{part_size} images (data.batch_size / data.accumulation)"
    if part_size % world_size:
        raise UserError(f"{part} cannot be shared evenly by {world_size} processes: make it a multiple of {world_size}")
    share = part_size // world_size
    size = part_size if bunch_size is None else bunch_size
    if size < 1 or part_size % size:
        raise UserError(
            f"model.bunch_size is {size}, which does not divide {part}: set model.bunch_size to a divisor of "
            f"{part_size}, or change the batch or its accumulation"
        )
    if share % size and size % share:
        raise UserError(
            f"model.bunch_size is {size}, but each of {world_size} processes has {share} of {part}: set "
            f"model.bunch_size to a divisor or a multiple of {share}, or start another number of processes"
        )
    return BunchLayout(min(size, share), max(1, size // share))


@dataclass(frozen=True)
class _Place:
    """This process's place in the layout; ``group`` is None for all processes."""

    layout: BunchLayout
    group: dist.ProcessGroup | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _Place:
        """A copied norm, a momentum encoder's, shares the group, which cannot be copied."""
        return self


class BunchNorm(nn.BatchNorm1d):
    """Batch norm without affine over bunches of images; its state dict has the keys of ``BatchNorm1d(affine=False)``.

    Without :func:`assign_bunches` all rows that it is given are one bunch. The running statistics follow the mean
    over this process's bunches; see :func:`average_running_statistics`.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, affine=False)
        self.place: _Place | None = None

    def forward(self, logits_NC: Tensor, num_views: int = 1) -> Tensor:  # noqa: N803 - rows, classes
        """Normalises (N, C), the rows of all images in the first view, then those of the next.

        Raises:
            ValueError: the rows are not whole views of whole bunches.
        """
        if not self.training or self.place is None:
            return super().forward(logits_NC)
        layout = self.place.layout
        if len(logits_NC) % (num_views * layout.images):
            raise ValueError(f"{len(logits_NC)} rows are not {num_views} views of bunches of {layout.images} images")
        if layout.processes > 1:
            return self._forward_group(logits_NC, num_views)
        if len(logits_NC) == num_views * layout.images:
            return super().forward(logits_NC)
        return self._forward_bunches(logits_NC.unflatten(0, (num_views, -1)), layout.images)

    def _forward_group(self, logits: Tensor, num_views: int) -> Tensor:
        assert self.place is not None
        if len(logits) != num_views * self.place.layout.images:
            raise ValueError(f"this process's part of a bunch is {self.place.layout.images} images, not more")
        output, mean, variance = normalize_over_processes(logits, eps=self.eps, group=self.place.group)
        track(self, mean, variance)
        return output

    def _forward_bunches(self, logits_VBC: Tensor, num_images: int) -> Tensor:  # noqa: N803
        outputs, means, variances = [], [], []
        for bunch in logits_VBC.split(num_images, dim=1):
            mean, variance = (torch.zeros_like(each) for each in _running(self))
            # With a momentum of 1 the running statistics become those of this bunch.
            rows = F.batch_norm(bunch.flatten(0, 1), mean, variance, training=True, momentum=1.0, eps=self.eps)
            outputs.append(rows.unflatten(0, bunch.shape[:2]))
            means.append(mean)
            variances.append(variance)
        track(self, torch.stack(means).mean(dim=0), torch.stack(variances).mean(dim=0))
        return torch.cat(outputs, dim=1).flatten(0, 1)


def track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Moves a norm's running statistics towards a batch's (C,), unless it is told not to track them."""
    if not norm.track_running_stats:  # off in the first of two forward passes, see pretrain.run.step
        return
    assert norm.momentum is not None and norm.num_batches_tracked is not None
    for running, new in zip(_running(norm), (mean, variance), strict=True):
        running.lerp_(new.to(running.dtype), norm.momentum)
    norm.num_batches_tracked.add_(1)


def _running(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def assign_bunches(norm: BunchNorm, bunch_size: int | None, part_size: int, process: Process) -> None:
    """Tells the norm which images share statistics. Every process has to call it, in the same order.

    Bunches are consecutive images of the part, process after process.

    Args:
        bunch_size, part_size: see :func:`bunch_layout`.

    Raises:
        UserError: see :func:`bunch_layout`.
    """
    layout = bunch_layout(bunch_size, part_size, process.world_size)
    group: dist.ProcessGroup | None = None
    if 1 < layout.processes < process.world_size:
        for first in range(0, process.world_size, layout.processes):
            ranks = range(first, first + layout.processes)
            made = dist.new_group([*ranks])  # by every process, members or not
            if process.rank in ranks:
                assert isinstance(made, dist.ProcessGroup)
                group = made
    norm.place = _Place(layout, group)


@torch.no_grad()
def average_running_statistics(model: nn.Module, process: Process) -> None:
    """Brings the running statistics of every :class:`BunchNorm` in ``model`` to their mean over processes.

    They are moving averages, so it makes no difference how often this is done: before a checkpoint is enough.
    DistributedDataParallel has to leave buffers alone (``forward_sync_buffers=False``), or they are
    the first process's.
    """
    norms = [module for module in model.modules() if isinstance(module, BunchNorm)]
    if process.world_size == 1 or not norms:
        return
    statistics = [each for norm in norms for each in _running(norm)]
    packed = torch.cat(statistics).double()
    dist.all_reduce(packed)
    packed /= process.world_size
    for ours, mean in zip(statistics, packed.split([len(each) for each in statistics]), strict=True):
        ours.copy_(mean)
