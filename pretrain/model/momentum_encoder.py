"""The momentum encoder: a moving average of the network, whose predictions the student learns to match."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from pretrain.model.twist_model import TwistModel


class MomentumEncoder(TwistModel):
    """A copy of the network that follows it, without gradients; its state dict has the same keys.

    - Its parameters are moving averages, see :meth:`update`.
    - It stays in train mode: its batch norms, including NBS, normalise its two global views with the statistics of
      these views, over the same processes and bunches as the student's. The student's statistics would be wrong here,
      because they mix global and local views.
    - Its buffers are not averages. They are the running statistics of its own norms, which match the averaged weights.
      They are not used in training, only later in eval mode.
    - Stochastic depth stays on, at the student's rates.

    All four are as in the official code. It is not wrapped in DistributedDataParallel: every process makes the same
    copy and the same updates.

    Args:
        student: already on its device, with synchronised batch norms and assigned bunches.
    """

    def __init__(self, student: TwistModel) -> None:
        super().__init__(copy.deepcopy(student.backbone), copy.deepcopy(student.head))
        self.requires_grad_(False)
        self.train()

    @torch.no_grad()
    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """Logits (T, B, C) of T views, without gradient; see :meth:`TwistModel.forward`."""
        return super().forward(views)

    @torch.no_grad()
    def update(self, student: TwistModel, share: float) -> None:
        """Moves the parameters towards the student's.

        Args:
            student: the network that this one was copied from, after its optimiser step.
            share: the share of the average that is kept, 0 to 1 (``momentum`` in DINO and in the official code).
        """
        torch._foreach_lerp_(list(self.parameters()), list(student.parameters()), 1 - share)
