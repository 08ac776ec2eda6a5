"""The tables of README.md and of docs/, from the rows of benchmarks, data sets, deviations and from the settings.

python -m tools.doc_tables      writes them between their marks; a test holds the pages to it
"""

from __future__ import annotations

from pathlib import Path

from tools.deviations.table import deviation_tables
from tools.settings import setting_tables
from transfer.benchmarks import BENCHMARKS, CLASSIFICATION, CLUSTERING, DETECTION, SEGMENTATION
from transfer.datasets import DATASETS
from transfer.rows import Benchmark
from transfer.task import task_of

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    DETECTION: "tools/transfer_det.sh",
    SEGMENTATION: "tools/transfer_seg.sh",
    CLASSIFICATION: "tools/transfer_cls.sh",
    CLUSTERING: "tools/cluster.sh",
}


def benchmark_table() -> str:
    """A table per command, one line per benchmark with its variants; a group of benchmarks is one line."""
    parts = []
    for package, command in COMMANDS.items():
        rows = {row.group or row.name: row for row in reversed(BENCHMARKS.values()) if row.task == package}
        lines = [_benchmark_line(row) for row in reversed(rows.values()) if row.option is None]
        metrics = task_of(next(iter(rows.values()))).metrics
        parts.append(
            "\n".join(
                [f"`{command} BENCH CKPT`: {metrics}", "", "| BENCH | Benchmark | Protocol |", "|---|---|---|", *lines]
            )
        )
    return "\n\n".join(parts)


def _benchmark_line(row: Benchmark) -> str:
    variants = [other for other in BENCHMARKS.values() if other.variant_of == row.name]
    typed = f"`{row.group or row.typed}`" + "".join(f" `[{other.option}]`" for other in variants)
    title = f"eleven data sets, {row.title.rpartition(', ')[2]}" if row.group else row.title
    protocol = row.summary + "".join(f"; `{other.option}`: {other.summary}" for other in variants)
    return f"| {typed} | {title} | {protocol.replace('->', '→').replace('<', '&lt;')} |"


def dataset_table() -> str:
    """One line per data set."""
    lines = ["| Name | Data set | Folder | Train / val / test | From |", "|---|---|---|---|---|"]
    for row in DATASETS.values():
        counts = " / ".join(
            f"{row.counts[split]:,}" if split in row.counts else "–" for split in ("train", "val", "test")
        )
        lines.append(
            f"| `{row.name}` | {row.title} | `{row.folder}` | {counts if row.counts else 'any'} | {row.source} |"
        )
    return "\n".join(lines)


# page to the mark of its table and what the table says
PAGES = {
    "README.md": ("benchmarks", benchmark_table),
    "docs/data.md": ("data sets", dataset_table),
    "docs/deviations.md": ("deviations", deviation_tables),
    "docs/settings.md": ("settings", setting_tables),
}


def with_table(page: str, mark: str, table: str) -> str:
    """The page with its table between ``<!-- mark -->`` and ``<!-- end of mark -->`` replaced."""
    before, _, rest = page.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- end of {mark} -->")
    assert end, f"the page has no table of {mark}"
    return f"{before}<!-- {mark} -->\n{table}\n{end}{after}"


if __name__ == "__main__":
    for name, (mark, table) in PAGES.items():
        path = ROOT / name
        path.write_text(with_table(path.read_text(encoding="utf-8"), mark, table()), encoding="utf-8")
