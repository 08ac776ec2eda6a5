"""What every backbone offers: a pooled feature for TWIST's head, feature maps for dense transfer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """Images to features. The state dict has the keys of the library that the network is known from, no classifier's.

    Attributes:
        num_features: size of the pooled feature.
    """

    num_features: int

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Pooled features: (B, 3, H, W), RGB, scaled by ImageNet's mean and deviation, to (B, num_features)."""

    @abstractmethod
    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps (B, channels, H / stride, W / stride) by name, from the first stage to the last."""

    def forward_last(self, images: Tensor) -> list[Tensor]:
        """The four maps of a linear probe: a pyramid's stages; of plain ViTs the last four blocks', after the norm."""
        return list(self.forward_stages(images).values())[-4:]
