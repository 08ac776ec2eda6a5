"""The tables of README and docs are those that the rows give."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tools.doc_tables import PAGES, benchmark_table, dataset_table, with_table
from tools.settings import setting_tables
from transfer.benchmarks import BENCHMARKS
from transfer.datasets import DATASETS


@pytest.mark.parametrize("name", PAGES)
def test_the_page_has_the_table_of_the_rows(name: str) -> None:
    mark, table = PAGES[name]
    page = (ROOT / name).read_text(encoding="utf-8")
    assert page == with_table(page, mark, table()), "write the tables again: python -m tools.doc_tables"


def test_every_row_is_in_its_table() -> None:
    benchmarks, datasets = benchmark_table(), dataset_table()
    for row in BENCHMARKS.values():
        assert f"| `{row.group or row.typed}`" in benchmarks or row.option is not None
        assert row.option is None or f"[{row.option}]" in benchmarks
    assert all(f"| `{name}` |" in datasets for name in DATASETS)


def test_every_setting_has_a_meaning() -> None:
    lines = [line for line in setting_tables().splitlines() if line.startswith("| `")]
    assert len(lines) > 80
    assert [line for line in lines if line.endswith("|  |")] == []
