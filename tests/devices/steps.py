"""What one step of each kind did in a framework's trial, and what of it is not as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.devices.watch import Counts


@dataclass
class Seen:
    """What one step of each kind did, e.g. "training" and "test".

    Attributes:
        dtypes: of the losses.
        moved: parameters whose gradient has another layout than they have.
        without_gradient: parameters that are trained and got none.
    """

    counts: dict[str, Counts] = field(default_factory=dict)
    dtypes: set[str] = field(default_factory=set)
    moved: list[str] = field(default_factory=list)
    without_gradient: list[str] = field(default_factory=list)

    def problems(
        self,
        waits: Mapping[str, int],
        collectives: Mapping[str, int],
        kinds: list[str],
        *,
        row_major: int,
        half: str = "float32",
    ) -> list[str]:
        """What is not as it should be.

        Args:
            waits: at most, by kind of step.
            collectives: exactly, by kind of step.
            kinds: the steps that are to be done, in their order.
            row_major: convolutions in training whose input is not channels last.
            half: type of the convolutions in training.
        """
        found = [f"{list(self.counts)} were done"] * (list(self.counts) != kinds)
        for kind, counts in self.counts.items():
            if counts.num_waits > waits[kind]:
                found.append(f"{kind}: {counts.num_waits} waits: {counts.waits}")
            if counts.num_collectives != collectives[kind]:
                found.append(f"{kind}: {counts.num_collectives} collectives: {counts.collectives}")
            dtype = half if kind == "training" else "float32"
            if any(each.split()[-1] != dtype for each in counts.convolutions):
                found.append(f"{kind}: convolutions: {counts.convolutions}")
        turned = self.counts["training"].convolutions.get(f"row-major {half}", 0)
        if turned != row_major:
            found.append(f"{turned} convolutions of row-major maps")
        if self.dtypes != {"float32"}:
            found.append(f"losses are in {self.dtypes}")
        if self.moved or self.without_gradient:
            found.append(f"gradients in another layout {self.moved}, none for {self.without_gradient}")
        return found
