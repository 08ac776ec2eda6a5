"""What the user says of a checkpoint because it does not say it itself."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import asdict, dataclass

from twist_common.errors import UserError

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Options of every command that takes a checkpoint.

    Attributes:
        mean, std: how images were scaled for the network: for red, green and blue, of pixels in 0 to 1.
        entry: the entry that holds the state dict, with a dot before one within another.
        prefix: the beginning of the network's keys in it; all other keys are left out.
        drop: shell patterns of what has the prefix and is no part of the network, matched after the prefix.
    """

    mean: Triple | None = None
    std: Triple | None = None
    entry: str | None = None
    prefix: str | None = None
    drop: tuple[str, ...] = ()

    @property
    def key(self) -> list[str]:
        """For hashes: empty where nothing is said, so that they stay what they were before there were such options."""
        said = {name: value for name, value in asdict(self).items() if value}
        return [json.dumps(said, sort_keys=True)] if said else []

    @property
    def place(self) -> str:
        """Where the network is, as it is typed; empty where that is for the table of layouts to say."""
        given = {"--entry": (self.entry,), "--prefix": (self.prefix,), "--drop": self.drop}
        typed = ([option, *(value for value in values if value)] for option, values in given.items())
        return shlex.join(word for words in typed if len(words) > 1 for word in words)

    def check(self) -> None:
        """Whether the options can be meant.

        Raises:
            UserError: one of mean and deviation alone, or numbers that no image can be scaled by.
        """
        if (self.mean is None) != (self.std is None):
            raise UserError("--mean and --std go together: give three numbers to each, for red, green and blue")
        if self.mean is not None and self.std is not None and not can_scale(self.mean, self.std):
            raise UserError(f"--mean {spaced(self.mean)} --std {spaced(self.std)}: {CANNOT_SCALE}")


NOTHING_SAID = Reading()
CANNOT_SCALE = "no image is scaled by these; means are finite, and deviations are finite and above 0"


def can_scale(mean: Triple, std: Triple) -> bool:
    """Whether all means are finite, and all deviations finite and above 0."""
    return all(map(math.isfinite, (*mean, *std))) and min(std) > 0


def spaced(values: Triple) -> str:
    """As they are typed: ``0.5 0.5 0.5``."""
    return " ".join(f"{value:g}" for value in values)
