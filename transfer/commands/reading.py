"""What commands ask of a checkpoint: how to read one that does not say everything itself."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from tyro.conf import arg

from transfer.reading import Reading
from transfer.timm_source import named_checkpoint
from transfer.trial import RANDOM_PREFIX
from twist_common.errors import UserError


@dataclass(kw_only=True)
class ReadingArgs:
    """Options of every command that takes a checkpoint.

    --entry, --prefix and --drop are for a layout that is not known, where all three are as exact as the tables are:
    every tensor below the prefix is the network's or dropped, and the network's are all there. A refusal prints them.
    """

    #: the network to take where a checkpoint holds both; default: the one that the method's authors evaluate (DINO's
    #: teacher)
    which: Literal["student", "teacher"] | None = None
    arch: str | None = None
    """the architecture, only where the checkpoint does not show it: ours or any of timm; another is refused"""
    mean: Annotated[tuple[float, float, float] | None, arg(metavar="R G B")] = None
    """how images were scaled for the network, of pixels in 0 to 1; only where the checkpoint does not say it"""
    std: Annotated[tuple[float, float, float] | None, arg(metavar="R G B")] = None
    """the deviation that goes with --mean"""
    entry: str | None = None
    """where the state dict is in a checkpoint of no known layout, e.g. state_dict, or model.trunk for one in another"""
    prefix: str | None = None
    """the beginning of the network's keys, e.g. module.encoder. (keys without it are left out)"""
    drop: Annotated[tuple[str, ...], arg(metavar="PATTERN ...")] = ()
    """what has the prefix and is no part of the network, as shell patterns of what comes after it: 'projector.*'"""

    def reading(self) -> Reading:
        """What was said, for the loader."""
        return Reading(**{each.name: getattr(self, each.name) for each in fields(Reading)})

    def taken(self, source: str) -> str:
        """``--which``, or the network to take without it; says so where the checkpoint holds another one too."""
        if self.which is not None or source.startswith(RANDOM_PREFIX):
            return self.which or "student"
        from transfer.weights.backbone.load import networks_in  # torch, which a random initialisation does without

        path = named_checkpoint(source, None)[0]
        if not path.exists() or self.reading().place:
            return "student"
        taken, other = networks_in(path)
        if other is not None:
            print(f"{source}: the {taken} is taken; it holds a {other} too, which --which {other} takes")
        return taken


def read_reading(text: str, where: str) -> ReadingArgs:
    """The options of :class:`ReadingArgs` as they are typed, quoted as a whole.

    Args:
        where: what the text was given to, for the message.

    Raises:
        UserError: they are none.
    """
    import tyro

    try:
        return tyro.cli(ReadingArgs, args=shlex.split(text), console_outputs=False)
    except (SystemExit, ValueError):
        known = ", ".join(f"--{each.name}" for each in fields(ReadingArgs))
        raise UserError(f"{where}: {text!r} are no options of a checkpoint, which are {known}") from None
