"""One step of the optimiser: views to logits to loss to gradients, at once or in accumulated parts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel

from pretrain.data.augment import Views, sample_seed
from pretrain.distributed import Process
from pretrain.loss.self_labeling import SelfLabelingLoss, self_labeling_loss
from pretrain.loss.twist import TwistLoss, momentum_twist_loss, multicrop_twist_loss
from pretrain.model import TwistModel
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.recipe import NUM_GLOBAL_CROPS, Recipe

Loss = TwistLoss | SelfLabelingLoss
LossOfLogits = Callable[[Tensor, Tensor | None], Loss]


class StepResult(NamedTuple):
    """The loss of the whole batch, and the logits (V, B, C) of this process's images, without gradient."""

    loss: Loss
    logits: Tensor


class NonFiniteLossError(RuntimeError):
    """The loss is infinite or NaN; carries the logits (V, B, C) that gave it."""

    def __init__(self, value: float, logits: Tensor) -> None:
        super().__init__(f"the loss is {value}")
        self.logits = logits


class TrainStep:
    """Computes the loss and its gradients; the optimiser is the caller's.

    With accumulation the loss is still the one of the whole batch, which TWIST needs: its diversity over a part of
    the batch would be another objective. The parts go through the network twice: first without gradients, for the
    logits, from which the loss and its gradient with respect to the logits follow; then again, part by part, to carry
    that gradient back (the "gradient cache" of Gao et al. 2021, arXiv:2101.06983). That costs a third more time, and
    the memory of one part.

    Args:
        model: all processes' batch norms are synchronised already.
        teacher: the momentum encoder, or None.
    """

    def __init__(self, recipe: Recipe, model: TwistModel, teacher: MomentumEncoder | None, process: Process) -> None:
        self.recipe, self.process, self.teacher = recipe, process, teacher
        self._model = model
        network: nn.Module = model
        if process.world_size > 1:
            # Buffers are the norms' running statistics, which every process tracks by itself: see trainer._save.
            network = DistributedDataParallel(model, forward_sync_buffers=False, gradient_as_bucket_view=True)
        self._network: Any = torch.compile(network) if recipe.run.compile else network

    def __call__(self, parts: Sequence[Views], *, step: int, keep_share: float | None) -> StepResult:
        """Leaves the gradient of the step's loss in the parameters.

        Args:
            parts: the views of each accumulated part, on the device and normalised.
            step: steps done before; fixes what is random in the network (stochastic depth).
            keep_share: of the self-labeling stage; None in the first stage.

        Raises:
            NonFiniteLossError: before any gradient reaches the parameters.
        """
        if len(parts) == 1:
            return self._at_once(parts[0], step, keep_share)
        return self._in_parts(parts, step, keep_share)

    def _at_once(self, views: Views, step: int, keep_share: float | None) -> StepResult:
        logits = self._forward(self._network, views, step, 0)
        loss = self._loss(logits, self._teach(views, keep_share), keep_share)
        loss.total.backward()
        return StepResult(loss, logits.detach())

    def _in_parts(self, parts: Sequence[Views], step: int, keep_share: float | None) -> StepResult:
        with torch.no_grad(), _untracked(self._model):
            outputs = [self._forward(self._model, views, step, part) for part, views in enumerate(parts)]
        taught = [logits for views in parts if (logits := self._teach(views, keep_share)) is not None]
        logits = torch.cat(outputs, dim=1).requires_grad_()
        loss = self._loss(logits, torch.cat(taught, dim=1) if taught else None, keep_share)
        (gradient,) = torch.autograd.grad(loss.total, logits)
        for part, (views, share) in enumerate(zip(parts, gradient.chunk(len(parts), dim=1), strict=True)):
            is_last = part == len(parts) - 1
            with contextlib.nullcontext() if is_last else self._without_sync():
                self._forward(self._network, views, step, part).backward(share)
        return StepResult(loss, logits.detach())

    def _without_sync(self) -> contextlib.AbstractContextManager[None]:
        """DistributedDataParallel averages the gradients once, with the last part's."""
        return self._network.no_sync() if self.process.world_size > 1 else contextlib.nullcontext()

    def _forward(self, network: Any, views: Views, step: int, part: int) -> Tensor:
        # Both passes over a part draw the same stochastic depth, and so does a run that was resumed in between.
        place = self.process.rank * self.recipe.data.accumulation + part
        torch.manual_seed(sample_seed(self.recipe.seed, step, -2 - place))  # -1 is the order of images
        with self._autocast():
            logits: Tensor = network(views)
        return logits

    def _teach(self, views: Views, keep_share: float | None) -> Tensor | None:
        """The momentum encoder's logits of the global views (2, B, C); None without one and in the second stage."""
        if self.teacher is None or keep_share is not None:
            return None
        with self._autocast():
            return self.teacher(views[:NUM_GLOBAL_CROPS])

    def _autocast(self) -> torch.autocast:
        device = self.process.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")

    def _loss(self, logits: Tensor, teacher_logits: Tensor | None, keep_share: float | None) -> Loss:
        settings = self.recipe.loss
        weights = {"alpha": settings.alpha, "beta": settings.beta, "eps": settings.eps}
        loss: Loss
        if keep_share is not None:
            loss = self_labeling_loss(logits, keep_share)
        elif teacher_logits is not None:
            loss = momentum_twist_loss(logits, teacher_logits, **weights)
        else:
            loss = multicrop_twist_loss(logits, NUM_GLOBAL_CROPS, **weights)
        value = loss.total.item()
        if not math.isfinite(value):
            raise NonFiniteLossError(value, logits.detach())
        return loss


@contextlib.contextmanager
def _untracked(model: nn.Module) -> Iterator[None]:
    """Batch norms leave their running statistics alone: each part passes twice and counts once."""
    norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
