"""A table free of markup: what every writer lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_SIDE_BY_SIDE = 6
Kind = Literal["measured", "baseline", "inflated", "floor", "published"]


@dataclass(frozen=True)
class Column:
    """``strong`` marks the main metric, in the title."""

    title: str
    numeric: bool = True
    strong: bool = False


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        best: which cells hold a best value that the test supports.
        card: id of the card that tells where the figures come from.
        cell_cards: the same for each cell, where they come from several rows of the report.
    """

    cells: tuple[str, ...]
    kind: Kind = "measured"
    best: frozenset[int] = frozenset()
    card: str = ""
    cell_cards: tuple[str, ...] = ()

    def card_of(self, index: int) -> str:
        """Id of the cell's card; empty where nothing was measured."""
        return self.cell_cards[index] if self.cell_cards else self.card


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading; None for the first ones."""

    heading: str | None
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[RowGroup, ...]

    @property
    def dense(self) -> bool:
        """Whether a page has to save room across, and a phone cannot show it as a table."""
        return len(self.columns) > MAX_SIDE_BY_SIDE


def plain_table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """A table of measured rows without headings between them."""
    return Table(caption, tuple(columns), (RowGroup(None, tuple(TableRow(tuple(row)) for row in rows)),))
