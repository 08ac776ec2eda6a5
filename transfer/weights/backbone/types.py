"""What every source is turned into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """How images were fed to the network. ``mean`` and ``std`` are for pixels in 0 to 1, in ``colour_order``."""

    colour_order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def pixel_mean(self) -> list[float]:
        """For pixels in 0 to 255, with the digits that configs have: 123.675, not 123.67499999999998."""
        return [round(255 * value, 3) for value in self.mean]

    @property
    def pixel_std(self) -> list[float]:
        """As :attr:`pixel_mean`."""
        return [round(255 * value, 3) for value in self.std]


IMAGENET = Preprocessing("RGB", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
UNSCALED = Preprocessing("RGB", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # pixels in 0 to 1


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A backbone with its provenance.

    Attributes:
        arch: a key of :data:`transfer.weights.backbone.architecture.RESNETS` or ``VITS``.
        state_dict: torchvision's keys (ResNets) or timm's (ViTs) in their order, without classifier; float32 on
            the CPU, checked for completeness, shapes and finite values.
        source_format: name of the recognised row of :data:`transfer.weights.backbone.sources.SOURCES`, or ``"random"``.
        source: path of the checkpoint, or ``"random:<arch>:<seed>"``.
        sha256: of the checkpoint's bytes, or of the text ``source`` for a random one.
        which: ``"student"`` or ``"teacher"``.
        head, head_config: the projection head's state dict and the arguments that build it, where the source has
            one that :class:`pretrain.model.ProjectionHead` can load; else None.
        dropped: key of the source that is not part of the backbone, to the reason.
        filled: keys that the source lacked and that were set to their initial value (batch counters only).
    """

    arch: str
    state_dict: dict[str, Tensor]
    source_format: str
    source: str
    sha256: str
    which: str = "student"
    preprocessing: Preprocessing = IMAGENET
    head: dict[str, Tensor] | None = None
    head_config: dict[str, Any] | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
