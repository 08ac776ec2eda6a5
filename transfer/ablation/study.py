"""What an ablation is: the settings to compare, what to show of each, and what the paper has in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pretrain.recipe import Recipe


@dataclass(frozen=True)
class Arm:
    """One setting.

    Attributes:
        label: its name in tables and plots.
        overrides: what it changes in the recipe.
        value: the number that is swept, for the plots' axis; None where the settings are not numbers.
    """

    label: str
    overrides: tuple[str, ...]
    value: float | None = None


@dataclass(frozen=True)
class Published:
    """A table of the paper: shown beside the measured one, never as measured.

    Attributes:
        where: e.g. ``"table 7"``.
        setting: what it was measured on.
        columns: headers, of the settings' names too.
        rows: as printed there.
        note: what to know when comparing.
    """

    where: str
    setting: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Study:
    """An ablation.

    Attributes:
        name: as typed on the command line.
        title: of the report.
        arms: the settings, from the recipe that they start from.
        columns: keys of :data:`transfer.ablation.metrics.METRICS` to show in the table.
        curves: statistics of ``metrics.jsonl`` to draw over the course of the training.
        swept: what ``Arm.value`` is, or None.
        published: the paper's table, where its figures are printed.
    """

    name: str
    title: str
    arms: Callable[[Recipe], tuple[Arm, ...]]
    columns: tuple[str, ...]
    curves: tuple[str, ...]
    swept: str | None = None
    published: Published | None = None
