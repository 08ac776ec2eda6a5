"""Steps of pre-training on fake tensors, taken by the trainer itself."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import nn

import twist_configs.pretrain
from pretrain.data.dataset import Batch
from pretrain.distributed import Process
from pretrain.loss import closed_form
from pretrain.loss.twist import TwistLoss, multicrop_twist_loss
from pretrain.model.twist_model import TwistModel
from pretrain.recipe import Recipe
from pretrain.run import step as step_module
from pretrain.run import trainer as trainer_module
from pretrain.run.preemption import StopRequest
from pretrain.run.step import TrainStep
from tests.devices.fake_cuda import fake_cuda
from tests.devices.watch import Counts, Watch
from twist_common import overrides

NUM_STEPS = 2
SHARE = 4  # images of a process's part


@dataclass
class Seen:
    """What one of several steps did.

    Attributes:
        counts: of all that the step did.
        loss_dtype: of the objective.
        moved: parameters whose gradient has another layout than they have.
        without_gradient: parameters that got none.
    """

    counts: Counts = field(default_factory=Counts)
    loss_dtype: str = ""
    moved: list[str] = field(default_factory=list)
    without_gradient: list[str] = field(default_factory=list)


class Images:
    """Stands for ImageNet, of which nothing but the number of images is asked."""

    num_labels, sha256, shard_sizes = 1000, "", None

    def __len__(self) -> int:
        return 1281167


def steps(
    name: str, *changes: str, num_processes: int = 1, is_second_stage: bool = False, fault: str | None = None
) -> list[Seen]:
    """What the first step does, which is logged, and what the second does, which is not.

    Args:
        name: of the recipe, whose batch is made small; it has as many bunches as ever.
        fault: a key of :data:`FAULTS`.
    """
    recipe = _small(name, changes, num_processes)
    seen: list[Seen] = []
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(fake_cuda(num_processes))
        out = stack.enter_context(tempfile.TemporaryDirectory())
        if fault:
            stack.enter_context(FAULTS[fault]())
        process = Process(torch.device("cuda", 0), 0, num_processes)
        trainer = trainer_module.Trainer(recipe, Images(), Path(out), process, StopRequest())  # type: ignore[arg-type]
        if is_second_stage:
            trainer.step = recipe.epochs * trainer.steps_per_epoch
        take_step = TrainStep.__call__

        def take(train_step: TrainStep, parts: Any, step: int) -> Any:
            result = take_step(train_step, parts, step)
            seen[-1].loss_dtype = str(result.loss.total.dtype).removeprefix("torch.")
            for name, param in trainer.model.named_parameters():
                if param.grad is None:
                    seen[-1].without_gradient.append(name)
                elif param.grad.stride() != param.stride():
                    seen[-1].moved.append(name)
            return result

        def batches(*args: Any, **kwargs: Any) -> Iterator[list[Batch]]:
            for _ in range(NUM_STEPS):
                watch.clear()
                seen.append(Seen())
                yield [_batch(recipe, watch) for _ in range(recipe.data.accumulation)]
                seen[-1].counts = watch.counts()

        stack.enter_context(mock.patch.object(trainer_module, "load_steps", batches))
        stack.enter_context(mock.patch.object(TrainStep, "__call__", take))
        stack.enter_context(watch)
        trainer.run()
    return seen


def _changed_loss(change: Callable[[TwistLoss], TwistLoss]) -> Any:
    """Changes what the objective returns."""
    return mock.patch.object(step_module, "multicrop_twist_loss", lambda *args, **kwargs: change(loss(*args, **kwargs)))


def _read(found: TwistLoss) -> TwistLoss:
    found.consistency.item()
    return found


def _reduced(found: TwistLoss) -> TwistLoss:
    dist.all_reduce(found.consistency.detach().clone())
    return found


loss = multicrop_twist_loss
FAULTS: dict[str, Callable[[], Any]] = {
    "a constant made without its device": lambda: mock.patch.object(
        closed_form, "constant", lambda values, device, dtype: torch.tensor(values, dtype=dtype)
    ),
    "a value read": lambda: _changed_loss(_read),
    "a loss in bf16": lambda: _changed_loss(lambda found: found._replace(total=found.total.bfloat16())),
    "a collective more": lambda: _changed_loss(_reduced),
    "weights that are row-major": lambda: mock.patch.object(
        TwistModel, "to", lambda model, device, memory_format: nn.Module.to(model, device)
    ),
}


def _small(name: str, changes: tuple[str, ...], num_processes: int) -> Recipe:
    recipe = overrides.apply(twist_configs.pretrain.get(name), list(changes))
    bunch = max(1, recipe.model.bunch_size * SHARE * num_processes * recipe.data.accumulation // recipe.data.batch_size)
    batch = SHARE * num_processes * recipe.data.accumulation
    return overrides.apply(recipe, [f"data.batch_size={batch}", f"model.bunch_size={bunch}"])


def _batch(recipe: Recipe, watch: Watch) -> Batch:
    views = [watch.pin(torch.empty(SHARE, 3, size, size, dtype=torch.uint8)) for size in recipe.crops.view_sizes]
    return Batch(views, torch.zeros(SHARE, dtype=torch.long), torch.arange(SHARE), ())
