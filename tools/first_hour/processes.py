"""Batch norm in several processes against one on the whole batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pretrain.distributed import Process
from pretrain.model.norms import sync_batch_norms
from tools.first_hour.site import Site
from transfer.processes import Report, launch

SHARE = 4  # images of each process
Synchronise = Callable[[nn.Module, Process], None]


def norms_over_processes(site: Site, synchronise: Synchronise | None = None) -> float:
    """The largest relative difference of outputs and input gradients.

    Args:
        synchronise: importable by name; in place of :func:`pretrain.model.norms.sync_batch_norms`.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = (Path(folder), site.device, synchronise or sync_batch_norms)
        launch(_work, job, num_processes=site.num_processes, device=site.device, progress=lambda *step: None)
        shares = [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(site.num_processes)]
    alone = _passes(Process(site.torch_device), site.num_processes, sync_batch_norms)
    return max(
        float((torch.cat(found) - expected).abs().max() / expected.abs().max())
        for *found, expected in zip(*shares, alone, strict=True)
    )


def _work(job: tuple[Path, str, Synchronise], report: Report) -> None:
    folder, device, synchronise = job
    rank = dist.get_rank()
    place = torch.device(device, rank) if device == "cuda" else torch.device("cpu")
    found = _passes(Process(place, rank, dist.get_world_size()), dist.get_world_size(), synchronise)
    torch.save(found, folder / f"{rank}.pt")


def _passes(process: Process, num_shares: int, synchronise: Synchronise) -> list[Tensor]:
    """Output and input's gradient of this process's share of the batch."""
    torch.manual_seed(0)
    images = torch.randn(num_shares * SHARE, 3, 8, 8)
    network: Any = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    synchronise(network, process)
    mine = images.chunk(process.world_size)[process.rank].to(process.device).requires_grad_()
    output = network.to(process.device)(mine)
    (output**2).sum().backward()
    assert mine.grad is not None
    return [output.detach().cpu(), mine.grad.cpu()]
