"""What commands ask of a checkpoint: how to read one that does not say everything itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from transfer.reading import Reading
from transfer.timm_source import named_checkpoint
from transfer.trial import RANDOM_PREFIX


@dataclass(kw_only=True)
class ReadingArgs:
    """Options of every command that takes a checkpoint."""

    mean: Annotated[tuple[float, float, float] | None, arg(metavar="R G B")] = None
    """how images were scaled for the network, of pixels in 0 to 1; only where the checkpoint does not say it"""
    std: Annotated[tuple[float, float, float] | None, arg(metavar="R G B")] = None
    """the deviation that goes with --mean"""

    def reading(self) -> Reading:
        """What was said, for the loader."""
        return Reading(mean=self.mean, std=self.std)


def default_which(source: str) -> str:
    """The network to take where ``--which`` is not given; says so where the checkpoint holds another one too."""
    from transfer.weights.backbone.load import networks_in  # torch, which a random initialisation does without

    if source.startswith(RANDOM_PREFIX) or not (path := named_checkpoint(source, None)[0]).exists():
        return "student"
    taken, other = networks_in(path)
    if other is not None:
        print(f"{source}: the {taken} is taken; it holds a {other} too, which --which {other} takes")
    return taken
