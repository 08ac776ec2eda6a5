"""The interface of all backbones: a pooled feature for TWIST's head, and feature maps for dense transfer."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """Images to features. The state dict has the keys of the library that the network comes from, without classifier.

    Attributes:
        num_features: size of the pooled feature.
    """

    num_features: int

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Pooled features: (B, 3, H, W), RGB, normalised with ImageNet's mean and std, to (B, num_features)."""

    @abstractmethod
    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps (B, channels, H / stride, W / stride) by name, from the first stage to the last."""

    def forward_last(self, images: Tensor) -> list[Tensor]:
        """The four maps of a linear probe: a pyramid's stages, or a plain ViT's last four blocks after the norm."""
        return list(self.forward_stages(images).values())[-4:]

    def forward_joined(self, images: Tensor) -> list[Tensor]:
        """The last four of :meth:`forward_stages`, with a class token concatenated to each patch token."""
        return list(self.forward_stages(images).values())[-4:]


def joined(patches: Tensor, prefix: Tensor) -> Tensor:
    """(B, C, h, w) patch tokens and (B, 1 or more, C) prefix tokens, the class token first, to (B, 2 C, h, w)."""
    return torch.cat([patches, prefix[:, 0, :, None, None].expand_as(patches)], dim=1)
