"""A batch in parts, where a GPU has no room for its share: one step of the optimizer from several backward passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import LOOPS
from torch.utils.data import DataLoader

from transfer.tasks.segmentation.work import step_memory
from transfer.work import StepMemory


def memory_of(config: Config) -> StepMemory:
    """What a step of a config takes that is fitted to weights."""
    memory = step_memory(config, config.model.backbone.get("arch"))
    assert memory is not None  # such a config names its network
    return memory


def accumulate(config: Config, parts: int) -> None:
    """Makes a config train in parts, in place, and the loop known to it; 1 leaves it as it is."""
    if parts == 1:
        return
    LOOPS.register_module(module=AccumulatingTrainLoop, force=True)
    config.train_cfg.type = AccumulatingTrainLoop.__name__
    config.train_cfg.parts = parts
    config.optim_wrapper.accumulative_counts = parts


class AccumulatingTrainLoop(IterBasedTrainLoop):
    """Divides each batch among several forward and backward passes, after which the optimizer takes its step.

    An iteration is what it is in the protocol: the same images, one step, one turn of every schedule and interval. So
    there is nothing to convert, and a resumed trial begins between two steps.

    The loss of each part is its mean and the gradient is the mean over parts, as data parallel training takes it over
    processes: one GPU with k parts has the gradient of k GPUs. Batch norm sees one part at a time.

    Args:
        parts: divides each process's share of the batch evenly.
        settings: of MMEngine's loop.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *, parts: int, **settings: Any) -> None:
        super().__init__(runner, dataloader, **settings)
        self._parts = parts

    def run(self) -> Any:
        # MMEngine counts backward passes, and has just been given iterations
        done, total = self.iter * self._parts, self.max_iters * self._parts
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, done, total)
        return super().run()

    def run_iter(self, data_batch: Mapping[str, Sequence[Any]]) -> None:
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        logged = [
            self.runner.model.train_step(part, optim_wrapper=self.runner.optim_wrapper)
            for part in divided(data_batch, self._parts)
        ]
        outputs = {name: torch.stack([each[name].detach() for each in logged]).mean(dim=0) for name in logged[0]}
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1


def divided(batch: Mapping[str, Sequence[Any]], parts: int) -> list[dict[str, Sequence[Any]]]:
    """The batch's images, in order, in parts of one size.

    Args:
        batch: as MMSegmentation collates it: each value has one item per image.
        parts: divides their number.
    """
    size = len(next(iter(batch.values()))) // parts
    starts = (part * size for part in range(parts))
    return [{name: items[start : start + size] for name, items in batch.items()} for start in starts]
