"""Backbone and head together: all views of a batch to their logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pretrain.model.backbone import Backbone
from pretrain.model.head import ProjectionHead


class TwistModel(nn.Module):
    """Backbone and head over all views of a batch."""

    def __init__(self, backbone: Backbone, head: ProjectionHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """Computes the logits of all views.

        Crops of one size go through the backbone together; the head sees all views at once, so the statistics
        of its batch norms, NBS too, mix global and local views.

        Args:
            views: V batches of crops of the same B images, each (B, 3, H, W); sizes may differ.

        Returns:
            Logits (V, B, C), in the order of ``views``.
        """
        features: dict[int, Tensor] = {}
        for size in dict.fromkeys(view.shape[-2:] for view in views):
            members = [index for index, view in enumerate(views) if view.shape[-2:] == size]
            pooled = self.backbone(torch.cat([views[index] for index in members]))
            features.update(zip(members, pooled.chunk(len(members)), strict=True))
        logits: Tensor = self.head(torch.cat([features[index] for index in range(len(views))]), len(views))
        return logits.unflatten(0, (len(views), -1))
