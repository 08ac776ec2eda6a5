"""The published rows that stand beside measured ones. Nothing here was measured by this program."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PUBLISHED_FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class PublishedRow:
    """``values``: metric name to the figure as printed; metrics that the paper does not report are left out."""

    method: str
    values: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class PublishedTable:
    """Rows of one published table that belong to one benchmark.

    Attributes:
        source: where the figures stand, e.g. ``"Table 5 of arXiv:2110.07402"``.
        setting: what was run there.
    """

    source: str
    setting: str
    rows: tuple[PublishedRow, ...]


@functools.cache
def _file() -> dict[str, Any]:
    import yaml

    return yaml.safe_load(PUBLISHED_FILE.read_text(encoding="utf-8"))


def published_table(benchmark: str) -> PublishedTable | None:
    """The published figures for a benchmark, None if there are none."""
    entry = _file()["benchmarks"].get(benchmark)
    if entry is None:
        return None
    rows = []
    for row in entry["rows"]:
        values = dict(zip(entry["metrics"], row["values"], strict=True))
        reported = {metric: float(value) for metric, value in values.items() if value is not None}
        rows.append(PublishedRow(method=row["method"], values=reported, note=row.get("note", "")))
    source = f"Table {entry['table']} of {paper_id()}"
    return PublishedTable(source=source, setting=entry["setting"], rows=tuple(rows))


def paper_id() -> str:
    """E.g. ``"arXiv:2110.07402"``."""
    return str(_file()["paper"]["id"])


def tables_of_several_benchmarks() -> dict[int, tuple[str, ...]]:
    """Number of the published table to the benchmarks that stand side by side in it, in its order."""
    tables: dict[int, list[str]] = {}
    for benchmark, entry in _file()["benchmarks"].items():
        tables.setdefault(entry["table"], []).append(benchmark)
    return {number: tuple(names) for number, names in sorted(tables.items()) if len(names) > 1}
