"""What a trial does while MMEngine's Runner trains: reports, checks its weights, keeps randomness repeatable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from transfer.weights.convert.target import ConversionError, check_same_tensors
from twist_common.background import BackgroundWriter
from twist_common.errors import UserError
from twist_common.files import atomic_path, named_in_errors


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


class BackgroundBackend(LocalBackend):
    """MMEngine's local files, written while the work goes on, whole or not at all.

    MMEngine makes an instance for each file; of a process all write in one thread.
    """

    writer: ClassVar = BackgroundWriter()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Starts to write; the file before this one is waited for, and its error raised."""
        self.writer.start(partial(_write, obj, Path(filepath)))

    def isfile(self, filepath: str | Path) -> bool:
        """Whether there is such a file once all is written."""
        self.writer.wait()
        return bool(super().isfile(filepath))


def _write(content: bytes, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


class BackgroundCheckpoints(CheckpointHook):
    """MMEngine's checkpoints, by :class:`BackgroundBackend`: one is removed only when those after it are whole.

    Args:
        settings: of MMEngine's hook.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "backend_args": {"backend": BackgroundBackend.__name__}})
        BackgroundBackend.writer = BackgroundWriter()  # without an error of an earlier training

    def after_train_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        BackgroundBackend.writer.check()
        with named_in_errors(Path(runner.work_dir)):  # MMEngine writes the last one's path there
            super().after_train_iter(runner, batch_idx, *args, **kwargs)

    def after_train(self, runner: Runner) -> None:
        BackgroundBackend.writer.wait()
        super().after_train(runner)
