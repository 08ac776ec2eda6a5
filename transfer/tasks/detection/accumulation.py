"""A batch in parts, where a GPU has no room for its share: one step of the optimizer from several backward passes."""

from __future__ import annotations

import contextlib
import time

import torch
from detectron2.config import CfgNode
from torch import nn

from transfer.tasks.detection.losses import Trainer
from transfer.tasks.detection.work import step_memory
from transfer.work import StepMemory


def memory_of(cfg: CfgNode) -> StepMemory:
    """What a step of a resolved config takes."""
    memory = step_memory(cfg, cfg.MODEL.NETWORK.ARCH)
    assert memory is not None  # such a config names its network
    return memory


class AccumulatingTrainer(Trainer):
    """One step of the optimizer from several parts of a batch, each with its own forward and backward pass.

    Each part's losses are means over that part and the gradient is the mean over parts, as data parallel training
    takes it over processes: one GPU with k parts has the gradient of k GPUs. Batch norm sees one part at a time.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: torch.utils.data.DataLoader,
        optimizer: torch.optim.Optimizer,
        *,
        parts: int,
    ) -> None:
        super().__init__(model, loader, optimizer)
        self._parts = parts

    def run_step(self) -> None:
        self.optimizer.zero_grad()
        data_seconds = 0.0
        means: dict[str, torch.Tensor] = {}
        for part in range(self._parts):
            start = time.perf_counter()
            images = next(self._data_loader_iter)
            data_seconds += time.perf_counter() - start
            is_last = part == self._parts - 1
            is_parallel = isinstance(self.model, nn.parallel.DistributedDataParallel)
            # processes exchange gradients once per step, with the last part
            with self.model.no_sync() if is_parallel and not is_last else contextlib.nullcontext():
                losses = {name: loss / self._parts for name, loss in self.model(images).items()}
                sum(losses.values()).backward()
            for name, loss in losses.items():
                means[name] = means.get(name, torch.zeros_like(loss)) + loss.detach()
        self._write_metrics(means, data_seconds)  # raises if a loss is not finite
        self.optimizer.step()
