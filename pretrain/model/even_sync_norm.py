"""torch's synchronised batch norm without host waits, for processes whose batches are never empty."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules import _functions


class EvenSyncBatchNorm(nn.SyncBatchNorm):
    """Batch norm over the batches of all processes, none of which may be empty; on GPUs.

    torch's own excludes empty batches with three masks, each of which makes the host wait for the device, in every
    layer. The collectives are the same: one of mean, inverse standard deviation and count in the forward pass, and one
    of two sums in the backward pass.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (N, C, ...) with the statistics of all processes; in eval mode with the running ones."""
        if not self.training:
            return super().forward(input)
        running = (self.running_mean, self.running_var) if self.track_running_stats else (None, None)
        if self.track_running_stats:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        group = dist.group.WORLD
        output: Tensor = _EvenSyncBatchNorm.apply(
            input, self.weight, self.bias, *running, self.eps, self.momentum, group, dist.get_world_size(group)
        )
        return output


class _EvenSyncBatchNorm(_functions.SyncBatchNorm):
    """torch's function with another forward pass; the backward pass is torch's."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        eps: float,
        momentum: float,
        process_group: dist.ProcessGroup,
        world_size: int,
    ) -> Tensor:
        if not input.is_contiguous(memory_format=torch.channels_last):
            input = input.contiguous()
        mean, invstd = torch.batch_norm_stats(input, eps)
        count = mean.new_full((1,), input.numel() // input.shape[1])
        own = torch.cat([mean, invstd, count])
        everywhere = own.new_empty(world_size * len(own))
        dist.all_gather_single(everywhere, own, group=process_group)
        means, invstds, counts = everywhere.view(world_size, -1).split([len(mean), len(mean), 1], dim=1)
        counts = counts.flatten() if running_mean is None else counts.flatten().to(running_mean.dtype)
        mean, invstd = torch.batch_norm_gather_stats_with_counts(
            input, means, invstds, running_mean, running_var, momentum, eps, counts
        )
        ctx.save_for_backward(input, weight, mean, invstd, counts.to(torch.int32))
        ctx.process_group = process_group
        return torch.batch_norm_elemt(input, weight, bias, mean, invstd, eps)


def without_waits(network: nn.Module) -> None:
    """Turns torch's synchronised norms into this kind, in place; no process's batch may be empty."""
    for module in network.modules():
        if getattr(type(module), "forward", None) is nn.SyncBatchNorm.forward:  # frameworks have classes of their own
            module.__class__ = EvenSyncBatchNorm
