"""The momentum encoder: a moving average of the network, whose global views the student learns to match."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from pretrain.model.twist_model import TwistModel


class MomentumEncoder(TwistModel):
    """A copy of the network that follows it, without gradients; ``state_dict`` has the keys of the network's.

    - Its parameters are averages, by :meth:`update`.
    - It stays in train mode: its batch norms, NBS too, normalise its two global views by statistics of these views,
      over the same processes and bunches as the student's. The student's own statistics would not do, because they
      mix global and local views.
    - Its buffers are not averages. They are the norms' running statistics, and each norm tracks those of its own
      inputs: these belong to the averaged weights. They play no part in training, only later in eval mode.
    - Stochastic depth stays on, at the student's rates.

    All four are as in the official code. DistributedDataParallel does not know of it: every process makes the same
    copy and the same updates.

    Args:
        student: on its device, with its batch norms synchronised and its bunches assigned.
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
            student: the network that this one was made from, after its step.
            share: of the average that is kept, 0 to 1 (DINO's and the official code's ``momentum``).
        """
        torch._foreach_lerp_(list(self.parameters()), list(student.parameters()), 1 - share)
