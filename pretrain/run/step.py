"""One training step, top to bottom: schedules, forward, loss, backward, clipping, optimiser, momentum encoder."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel

from pretrain import schedule
from pretrain.data.augment import Views
from pretrain.data.seeds import network_seed
from pretrain.distributed import Process
from pretrain.loss.self_labeling import SelfLabelingLoss, self_labeling_loss
from pretrain.loss.twist import TwistLoss, momentum_twist_loss, multicrop_twist_loss
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.model.twist_model import TwistModel
from pretrain.recipe import NUM_GLOBAL_CROPS, Recipe
from pretrain.run.precision import autocast, precision_of, scaler


class StepResult(NamedTuple):
    """The loss of the whole batch, and the logits (V, B, C) of this process's images, without gradient.

    ``grad_scale`` is the loss scale: gradients of inner tensors still contain it, those of the parameters no longer do.
    """

    loss: TwistLoss | SelfLabelingLoss
    logits: Tensor
    grad_scale: Tensor


class NonFiniteLossError(RuntimeError):
    """The loss is infinite or NaN; carries the logits (V, B, C) it was computed from."""

    def __init__(self, value: float, logits: Tensor) -> None:
        super().__init__(f"the loss is {value}")
        self.logits = logits


class TrainStep:
    """Takes one step of the optimiser.

    With accumulation the loss is still that of the whole batch, as TWIST requires: diversity over a part of the batch
    would be a different objective. The parts pass through the network twice: first without gradients, to get the
    logits, and from them the loss and its gradient with respect to the logits; then again, part by part, to propagate
    that gradient to the parameters (the "gradient cache" of Gao et al. 2021, arXiv:2101.06983). This takes a third more
    time, but only the memory of one part.

    Args:
        model: with its batch norms already synchronised over all processes.
        teacher: the momentum encoder, or None.
        optimizer: with two groups of the model's parameters: first those with weight decay, then the others.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: TwistModel,
        teacher: MomentumEncoder | None,
        optimizer: torch.optim.Optimizer,
        process: Process,
        *,
        steps_per_epoch: int,
    ) -> None:
        self.recipe, self.model, self.teacher, self.optimizer = recipe, model, teacher, optimizer
        self.process, self.steps_per_epoch = process, steps_per_epoch
        self.precision = precision_of(recipe, process.device.type, process.has_bf16)
        self.scaler = scaler(self.precision, process.device.type)
        network: nn.Module = model
        if process.world_size > 1:
            # The buffers are the norms' running statistics, which every process tracks by itself: see Trainer.save.
            network = DistributedDataParallel(model, forward_sync_buffers=False, gradient_as_bucket_view=True)
        if recipe.run.compile:
            # The same random numbers as uncompiled: accumulated parts pass once uncompiled and once compiled.
            network = torch.compile(network, options={"fallback_random": True})  # type: ignore[assignment]
        self.network: Any = network

    def __call__(self, parts: Sequence[Views], step: int) -> StepResult:
        """Trains on one batch.

        Args:
            parts: the views of each accumulated part, on the device and normalised.
            step: number of completed steps, which determines the stage, the schedules and the network's randomness.

        Raises:
            NonFiniteLossError: before any gradient reaches the parameters.
        """
        recipe, now = self.recipe, (self.recipe, step, self.steps_per_epoch)
        is_self_labeling = schedule.is_self_labeling(recipe, step // self.steps_per_epoch)

        decayed, others = self.optimizer.param_groups
        decayed["lr"] = others["lr"] = schedule.learning_rate(*now)
        decayed["weight_decay"] = schedule.weight_decay(*now)
        self.optimizer.zero_grad(set_to_none=True)

        is_accumulated = len(parts) > 1
        if is_accumulated:
            logits = self._logits_of_parts(parts, step).requires_grad_()  # (V, B, C)
        else:
            logits = self._forward(self.network, parts[0], step)

        weights = {"alpha": recipe.loss.alpha, "beta": recipe.loss.beta, "eps": recipe.loss.eps}
        loss: TwistLoss | SelfLabelingLoss
        if is_self_labeling:
            loss = self_labeling_loss(logits, schedule.keep_share(*now))
        elif self.teacher is not None:
            with self._autocast():
                taught = [self.teacher(views[:NUM_GLOBAL_CROPS]) for views in parts]
            loss = momentum_twist_loss(logits, torch.cat(taught, dim=1), **weights)
        else:
            loss = multicrop_twist_loss(logits, NUM_GLOBAL_CROPS, **weights)
        if not math.isfinite(value := loss.total.item()):
            raise NonFiniteLossError(value, logits.detach())

        grad_scale = self.scaler.scale(torch.ones_like(loss.total))  # get_scale() would wait for the device
        self.scaler.scale(loss.total).backward()
        if is_accumulated:
            self._carry_back(logits.grad, parts, step)
        self.scaler.unscale_(self.optimizer)
        if recipe.optim.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optim.clip_norm)
        self.scaler.step(self.optimizer)  # leaves the step out if a gradient in fp16 is not finite
        self.scaler.update()

        if self.teacher is not None and not is_self_labeling:
            self.teacher.update(self.model, schedule.teacher_momentum(*now))
        return StepResult(loss, logits.detach(), grad_scale)

    @torch.no_grad()
    def _logits_of_parts(self, parts: Sequence[Views], step: int) -> Tensor:
        """The whole batch's logits (V, B, C), without gradient and without updating the norms' running statistics."""
        with _untracked(self.model):
            return torch.cat([self._forward(self.model, views, step, part) for part, views in enumerate(parts)], dim=1)

    def _carry_back(self, logits_grad: Tensor | None, parts: Sequence[Views], step: int) -> None:
        """Propagates the gradient with respect to the logits (V, B, C) to the parameters, part by part."""
        assert logits_grad is not None
        for part, (views, grad) in enumerate(zip(parts, logits_grad.chunk(len(parts), dim=1), strict=True)):
            # DistributedDataParallel averages the gradients only once, in the last part's backward pass.
            is_synced = self.process.world_size == 1 or part == len(parts) - 1
            with contextlib.nullcontext() if is_synced else self.network.no_sync():
                self._forward(self.network, views, step, part).backward(grad)

    def _forward(self, network: Any, views: Views, step: int, part: int = 0) -> Tensor:
        # Both passes over a part draw the same stochastic depth, and so does a resumed run.
        place = self.process.rank * self.recipe.data.accumulation + part
        torch.manual_seed(network_seed(self.recipe.seed, step, place))
        with self._autocast():
            logits: Tensor = network(views)
        return logits

    def _autocast(self) -> torch.autocast:
        return autocast(self.precision, self.process.device.type)


@contextlib.contextmanager
def _untracked(model: nn.Module) -> Iterator[None]:
    """Stops batch norms from updating their running statistics: each part passes twice, but should count once."""
    norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
