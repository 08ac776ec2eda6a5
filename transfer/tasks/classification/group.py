"""This process among those that train one model together."""

from __future__ import annotations

from dataclasses import dataclass

import torch.distributed as dist


@dataclass(frozen=True, kw_only=True)
class Group:
    """``device`` is ``"cpu"``, or ``"cuda"`` for the GPU that :func:`transfer.processes.launch` gave this process."""

    device: str
    rank: int = 0
    num_processes: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def this_group(device: str) -> Group:
    """The group that :func:`transfer.processes.launch` made, or this process alone."""
    if not dist.is_initialized():
        return Group(device=device)
    return Group(device=device, rank=dist.get_rank(), num_processes=dist.get_world_size())
