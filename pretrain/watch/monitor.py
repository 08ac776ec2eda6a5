"""What is watched while training: statistics around NBS, agreement of the views, how the classes are used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.files import write_text
from pretrain.loss.self_labeling import SelfLabelingLoss
from pretrain.loss.twist import TwistLoss
from pretrain.run.checkpoint import Content

Statistics = dict[str, float]

METRICS_NAME = "metrics.jsonl"
CURVES_NAME = "tensorboard"


class NbsProbe:
    """Reads the logits and their gradients before and after NBS, in the steps in which it is switched on."""

    def __init__(self, nbs: nn.Module) -> None:
        self.is_on = False
        self._before: Tensor | None = None
        self._after: Tensor | None = None
        nbs.register_forward_hook(self._keep)

    def _keep(self, nbs: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not self.is_on:
            return
        self._before, self._after = inputs[0], output
        for logits in (self._before, self._after):
            if logits.requires_grad:
                logits.retain_grad()

    def read(self) -> Statistics:
        """Mean standard deviation over columns (images) and rows (classes), mean size of the gradient.

        Call it after the backward pass of a step in which the probe was on; the kept tensors are let go. The
        gradient is the one of this process's share of the batch. The names are those of the paper's table 7.
        """
        statistics = {}
        for place, logits in (("before", self._before), ("after", self._after)):
            assert logits is not None, "the probe was off"
            values = logits.detach().float()
            statistics[f"std_c_{place}_nbs"] = values.std(dim=0, unbiased=False).mean().item()
            statistics[f"std_r_{place}_nbs"] = values.std(dim=1, unbiased=False).mean().item()
            if logits.grad is not None:
                statistics[f"grad_{place}_nbs"] = logits.grad.float().abs().mean().item()
        self._before = self._after = None
        return statistics


def loss_statistics(loss: TwistLoss | SelfLabelingLoss) -> Statistics:
    """The loss and its terms as numbers; those of the self-labeling stage under names of their own."""
    prefix = "" if isinstance(loss, TwistLoss) else "self_labeling_"
    named = {prefix + ("loss" if name == "total" else name): getattr(loss, name) for name in loss._fields}
    return {name: value.item() for name, value in named.items()}


def agreement(logits_VBC: Tensor) -> float:  # noqa: N803 - views, images, classes
    """The share of images whose two global views have the same argmax."""
    first, second = logits_VBC[:2].argmax(dim=-1)
    return (first == second).float().mean().item()


def epoch_statistics(predictions: Tensor, labels: Tensor | None) -> Statistics:
    """Classes in use, and NMI between predictions and labels where there are labels.

    Args:
        predictions: (N,) argmax of the first view of every image of an epoch, while it was trained on.
        labels: (N,) of the same images, or None.
    """
    statistics = {"used_classes": float(predictions.unique().numel())}
    if labels is not None:
        from sklearn.metrics import normalized_mutual_info_score  # half a second, wanted once an epoch

        statistics["train_nmi"] = float(normalized_mutual_info_score(labels.cpu(), predictions.cpu()))
    return statistics


class Curves:
    """``metrics.jsonl`` and TensorBoard curves; a resumed run cuts what was written after its checkpoint."""

    def __init__(self, out: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = out / METRICS_NAME
        keep = [line for line in self._lines() if line["step"] <= first_step]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in keep))
        self._file = self._path.open("a", encoding="utf-8")
        purge = first_step + 1 if first_step else None
        self._writer = SummaryWriter(str(out / CURVES_NAME), purge_step=purge)

    def _lines(self) -> list[Content]:
        if not self._path.is_file():
            return []
        whole = self._path.read_text(encoding="utf-8").rpartition("\n")[0]  # a kill may have cut the last line
        return [json.loads(line) for line in whole.splitlines()]

    def write(self, kind: str, step: int, epoch: int, statistics: Statistics) -> None:
        """One line and one point on each curve.

        Args:
            kind: ``"step"`` or ``"epoch"``.
            step: steps done since the start of the run.
            epoch: the epoch, counted from 0, that the step belongs to.
        """
        line: dict[str, Any] = {"kind": kind, "step": step, "epoch": epoch, **statistics}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in statistics.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        self._writer.close()


def all_finite(module: nn.Module) -> bool:
    """Whether no parameter or buffer is infinite or NaN."""
    tensors = [*module.parameters(), *module.buffers()]
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
