"""What one epoch showed of the network's predictions, over all processes and over a stop in its middle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pretrain.data.dataset import Batch
from pretrain.distributed import gather_over_processes
from pretrain.run.checkpoint import Content
from pretrain.watch import monitor

NUM_NAMES_SHOWN = 3


class WatchedEpoch:
    """Argmax of the first view and label of every image since the epoch began, and the images that could not be read.

    Args:
        num_labels: of the data; with one label there is nothing to compare predictions to.
    """

    def __init__(self, num_labels: int) -> None:
        self._num_labels = num_labels
        self._earlier = torch.zeros(2, 0, dtype=torch.long)  # predictions and labels from before a stop
        self._predictions: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._unreadable: dict[str, None] = {}  # a set that keeps its order

    def add(self, logits_VBC: Tensor, batches: Sequence[Batch]) -> None:  # noqa: N803 - views, images, classes
        """Takes in one step of this process."""
        self._predictions.append(logits_VBC[0].argmax(dim=-1))
        self._labels.append(torch.cat([batch.labels for batch in batches]).to(logits_VBC.device))
        for batch in batches:
            self._unreadable.update(dict.fromkeys(batch.unreadable))

    @property
    def num_unreadable(self) -> int:
        return len(self._unreadable)

    def unreadable_note(self) -> str:
        """Which images this process had to do without."""
        names = ", ".join(list(self._unreadable)[:NUM_NAMES_SHOWN])
        more = ", ..." if self.num_unreadable > NUM_NAMES_SHOWN else ""
        return f"{self.num_unreadable} unreadable images were replaced by others: {names}{more}"

    def statistics(self, device: torch.device) -> monitor.Statistics:
        """See :func:`pretrain.watch.monitor.epoch_statistics`; a collective operation."""
        predictions, labels = self._seen()
        known = labels if self._num_labels > 1 else None
        unreadable = gather_over_processes(torch.tensor([self.num_unreadable], device=device))
        return {**monitor.epoch_statistics(predictions, known), "unreadable": float(unreadable.sum())}

    def _seen(self) -> Tensor:
        """(2, N): predictions and labels of all processes; a collective operation."""
        if not self._predictions:
            return self._earlier
        now = [gather_over_processes(torch.cat(values)).cpu() for values in (self._predictions, self._labels)]
        return torch.cat([self._earlier, torch.stack(now)], dim=1)

    def state_dict(self) -> Content:
        """For the checkpoint; a collective operation."""
        return {"seen": self._seen(), "unreadable": list(self._unreadable)}

    def load_state_dict(self, state: Content) -> None:
        """Goes on where a stopped epoch was; in the first process alone, which knows what all of them saw."""
        self._earlier = state["seen"]
        self._unreadable = dict.fromkeys(state["unreadable"])
