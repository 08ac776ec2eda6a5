"""What a trial does while MMEngine's Runner trains: reports, checks its weights, keeps randomness repeatable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from transfer.weights.convert.target import ConversionError, check_same_tensors
from twist_common.errors import UserError


class ReportProgress(Hook):
    """Reports to the trial's owner how far training and testing are."""

    def __init__(self, progress: Callable[[int, int, str], None]) -> None:
        self._progress = progress

    def after_train_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        self._progress(batch_idx + 1, runner.max_iters, "training")

    def after_test_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        self._progress(batch_idx + 1, len(runner.test_dataloader), "testing")


class ReadLossesOnce(Hook):
    """Makes numbers of a step's losses by one copy from the device; MMEngine waits for each of them, every step."""

    priority = "HIGHEST"  # before MMEngine's own hook reads them

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        assert outputs is not None
        outputs.update(zip(outputs, torch.cat([value.flatten() for value in outputs.values()]).tolist(), strict=True))


class VerifyBackbone(Hook):
    """Refuses to train unless the model's backbone is the converted file, tensor by tensor.

    MMEngine loads with ``strict=False`` and only logs what did not fit. A frozen backbone is compared with the file
    again after training: had it moved, the trial would not be a probe of these weights.
    """

    def __init__(self, weights: Path) -> None:
        self._weights = weights

    def before_train(self, runner: Runner) -> None:
        if runner.iter == 0:  # else it is resumed, and the weights have changed since
            self.verify(_backbone(runner))

    def after_train(self, runner: Runner) -> None:
        backbone = _backbone(runner)
        if not any(parameter.requires_grad for parameter in backbone.parameters()):
            self.verify(backbone)

    def verify(self, backbone: torch.nn.Module) -> None:
        """Raises UserError if a tensor is missing, unexpected, of another shape or not equal bit for bit."""
        file = torch.load(self._weights, map_location="cpu", weights_only=True)
        try:
            check_same_tensors(backbone.state_dict(), file["state_dict"], "MMSegmentation")
        except ConversionError as error:
            raise UserError(
                f"the model's backbone is not {self._weights} ({error}): "
                "check model.backbone against the checkpoint's architecture"
            ) from None


def _backbone(runner: Runner) -> torch.nn.Module:
    """Of the Runner's segmentor, out of the wrapper that several processes need."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.backbone


class SeedEachIteration(Hook):
    """Makes the model's randomness (dropout) a function of seed and iteration.

    MMEngine restores no random state on resume. The data need none: it draws all batches again up to the one where it
    resumes, and their augmentations draw from NumPy's and Python's generators, not torch's.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        torch.manual_seed((self._seed << 32) + (runner.rank << 24) + batch_idx)
