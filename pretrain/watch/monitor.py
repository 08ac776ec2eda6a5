"""What is monitored during training: statistics around NBS, agreement of the views, and the use of the classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.data.dataset import Batch
from pretrain.distributed import gather_over_processes
from pretrain.loss.self_labeling import SelfLabelingLoss
from pretrain.loss.twist import TwistLoss
from pretrain.watch.trackers import Tracker
from twist_common.curves import CurveWriter
from twist_common.files import named_in_errors, write_text

Statistics = dict[str, float]

METRICS_NAME = "metrics.jsonl"
CURVES_NAME = "tensorboard"
NUM_NAMES_SHOWN = 3


class NbsProbe:
    """Reads the logits and their gradients before and after NBS in steps for which it is switched on."""

    def __init__(self, nbs: nn.Module) -> None:
        self.is_on = False
        self._kept: dict[str, Tensor] = {}

        def keep(nbs: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self.is_on:
                self._kept = {"before": inputs[0], "after": output}
                for logits in self._kept.values():
                    if logits.requires_grad:
                        logits.retain_grad()

        nbs.register_forward_hook(keep)

    def read(self, grad_scale: float | Tensor = 1.0) -> Statistics:
        """Mean standard deviation over columns (images) and rows (classes), and mean absolute value of the gradient.

        Call it after the backward pass of a step for which the probe was on; it then releases the tensors it kept. The
        gradient is that of this process's share of the batch. The names are those of the paper's table 7.

        Args:
            grad_scale: the loss scale of the backward pass.
        """
        assert self._kept, "the probe was off"
        statistics = {}
        for place, logits in self._kept.items():
            values = logits.detach().float()
            statistics[f"std_c_{place}_nbs"] = values.std(dim=0, unbiased=False).mean().item()
            statistics[f"std_r_{place}_nbs"] = values.std(dim=1, unbiased=False).mean().item()
            if logits.grad is not None:
                statistics[f"grad_{place}_nbs"] = float(logits.grad.float().abs().mean() / grad_scale)
        self._kept = {}
        return statistics


def loss_statistics(loss: TwistLoss | SelfLabelingLoss) -> Statistics:
    """The loss and its terms as numbers; those of the self-labeling stage have names of their own."""
    prefix = "" if isinstance(loss, TwistLoss) else "self_labeling_"
    named = {prefix + ("loss" if name == "total" else name): getattr(loss, name) for name in loss._fields}
    return {name: value.item() for name, value in named.items()}


def prediction_statistics(logits_VBC: Tensor) -> Statistics:  # noqa: N803 - views, images, classes
    """The share of images whose two global views have the same argmax, and the number of classes in the first view."""
    first, second = logits_VBC[:2].argmax(dim=-1)
    return {
        "agreement": (first == second).float().mean().item(),
        "batch_used_classes": float(first.unique().numel()),
    }


class WatchedEpoch:
    """For every image since the start of the epoch, the first view's argmax and the label; and unreadable images.

    Args:
        num_labels: of the data; with only one label, predictions are not compared to labels.
    """

    def __init__(self, num_labels: int) -> None:
        self._num_labels = num_labels
        self._earlier = torch.zeros(2, 0, dtype=torch.long)  # predictions and labels from before a stop
        self._predictions: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._unreadable: dict[str, None] = {}  # a set that keeps its order

    def add(self, logits_VBC: Tensor, batches: Sequence[Batch]) -> None:  # noqa: N803 - views, images, classes
        """Adds one step of this process."""
        self._predictions.append(logits_VBC[0].argmax(dim=-1))
        self._labels += [batch.labels for batch in batches]  # on the host until the epoch's end
        for batch in batches:
            self._unreadable.update(dict.fromkeys(batch.unreadable))

    def unreadable_note(self) -> str | None:
        """A message about the images that this process could not read; None if there were none."""
        if not self._unreadable:
            return None
        names = ", ".join(list(self._unreadable)[:NUM_NAMES_SHOWN])
        more = ", ..." if len(self._unreadable) > NUM_NAMES_SHOWN else ""
        return f"{len(self._unreadable)} unreadable images were replaced by others: {names}{more}"

    def statistics(self, device: torch.device) -> Statistics:
        """Number of used classes, NMI between predictions and labels (if there are any), and of unreadable images.

        A collective operation over all processes.
        """
        predictions, labels = self._seen()
        statistics = {"used_classes": float(predictions.unique().numel())}
        if self._num_labels > 1:
            from sklearn.metrics import normalized_mutual_info_score  # half a second, needed once an epoch

            statistics["train_nmi"] = float(normalized_mutual_info_score(labels, predictions))
        unreadable = gather_over_processes(torch.tensor([len(self._unreadable)], device=device))
        return {**statistics, "unreadable": float(unreadable.sum())}

    def _seen(self) -> Tensor:
        """(2, N): predictions and labels of all processes; a collective operation."""
        if not self._predictions:
            return self._earlier
        device = self._predictions[0].device
        seen = [torch.cat(values).to(device) for values in (self._predictions, self._labels)]
        now = [gather_over_processes(values).cpu() for values in seen]
        return torch.cat([self._earlier, torch.stack(now)], dim=1)

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint; a collective operation."""
        return {"seen": self._seen(), "unreadable": list(self._unreadable)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes an interrupted epoch; only in the first process, which has the predictions of all of them."""
        self._earlier = state["seen"]
        self._unreadable = dict.fromkeys(state["unreadable"])


class Curves:
    """``metrics.jsonl``, TensorBoard and a tracker; on resuming, the first two drop what follows the checkpoint."""

    def __init__(self, out: Path, first_step: int, tracker: Tracker | None = None) -> None:
        self._path = path = out / METRICS_NAME
        # The last line may be incomplete after a kill.
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0] if path.is_file() else ""
        lines = [json.loads(line) for line in whole.splitlines()]
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines if line["step"] <= first_step))
        self._file = path.open("a", encoding="utf-8")
        purge = first_step + 1 if first_step else None
        self._writer = CurveWriter(out / CURVES_NAME, purge)
        self._tracker = tracker

    def write(self, kind: str, step: int, epoch: int, statistics: Statistics) -> None:
        """Writes one line and one point on each curve.

        Args:
            kind: ``"step"`` or ``"epoch"``.
            step: steps done since the start of the run.
            epoch: the epoch, counted from 0, that the step belongs to.
        """
        line: dict[str, Any] = {"kind": kind, "step": step, "epoch": epoch, **statistics}
        with named_in_errors(self._path):
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        self._writer.add(kind, statistics, step)
        if self._tracker:
            self._tracker.write(step, {f"{kind}/{name}": value for name, value in statistics.items()})

    def close(self) -> None:
        """Flushes and closes all of them."""
        with named_in_errors(self._path):
            self._file.close()
        self._writer.close()
        if self._tracker:
            self._tracker.close()


def all_finite(module: nn.Module) -> bool:
    """Whether no parameter or buffer is infinite or NaN."""
    tensors = [*module.parameters(), *module.buffers()]
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
