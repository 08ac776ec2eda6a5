"""What a trial does while MMEngine's Runner trains: reports, checks its weights, keeps randomness repeatable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from common.errors import UserError


class ReportProgress(Hook):
    """Tells the trial's owner how far training and testing are."""

    def __init__(self, progress: Callable[[int, int, str], None]) -> None:
        self._progress = progress

    def after_train_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        self._progress(batch_idx + 1, runner.max_iters, "training")

    def after_test_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        self._progress(batch_idx + 1, len(runner.test_dataloader), "testing")


class VerifyBackbone(Hook):
    """Refuses to train unless the model's backbone is the converted file, tensor by tensor.

    MMEngine loads with ``strict=False`` and only logs what did not fit. A frozen backbone is held against the file once
    more after training: had it moved, the trial would not be a probe of these weights.
    """

    def __init__(self, weights: Path) -> None:
        self._weights = weights

    def before_train(self, runner: Runner) -> None:
        if runner.iter > 0:  # resumed: the weights have moved on
            return
        self._verify(runner)

    def after_train(self, runner: Runner) -> None:
        if not any(parameter.requires_grad for parameter in unwrapped(runner).backbone.parameters()):
            self._verify(runner)

    def _verify(self, runner: Runner) -> None:
        wanted = torch.load(self._weights, map_location="cpu", weights_only=True)
        verify_backbone(unwrapped(runner).backbone.state_dict(), wanted.get("state_dict", wanted), self._weights)


def unwrapped(runner: Runner) -> Any:
    """The Runner's segmentor, out of the wrapper that several processes need."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def verify_backbone(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], source: Path) -> None:
    """Compares the model's backbone with the file it was loaded from.

    Args:
        found: the backbone's state dict.
        wanted: the converted file's.
        source: the file, for the message.

    Raises:
        UserError: a tensor is missing, unexpected, of another shape or not equal bit for bit.
    """
    # torchvision counted no batches in some releases: a counter without influence where momentum is set
    counters = {name for name in found if name.endswith("num_batches_tracked")}
    missing = found.keys() - wanted.keys() - counters
    unexpected = wanted.keys() - found.keys()
    different = {
        name
        for name in found.keys() & wanted.keys()
        if found[name].shape != wanted[name].shape or not torch.equal(found[name].cpu(), wanted[name].cpu())
    }
    problems = {"missing from the file": missing, "unexpected in the file": unexpected, "different": different}
    for problem, names in problems.items():
        if names:
            first = ", ".join(sorted(names)[:3])
            raise UserError(
                f"the model's backbone is not {source}: {len(names)} tensors are {problem} ({first}); "
                "check model.backbone against the checkpoint's architecture"
            )


class SeedEachIteration(Hook):
    """Makes the model's randomness (dropout) a function of seed and iteration.

    MMEngine restores no random state on resume. The data need none: it draws all batches again up to the point where
    it goes on, and their augmentations take NumPy's and Python's generators, not torch's.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        torch.manual_seed((self._seed << 32) + (runner.rank << 24) + batch_idx)
