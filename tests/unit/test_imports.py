"""The rules of which package may import which, read from the sources (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for package in ("common", "pretrain", "transfer") for path in sorted((ROOT / package).rglob("*.py"))]
HEAVY = ("torch", "torchvision", "timm", "detectron2", "mmseg", "mmcv", "mmengine", "fvcore")


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offenders(below: str, *forbidden: str, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if path.is_relative_to(ROOT / below)
        for name in imports(path)
        if is_in(name, *forbidden) and not is_in(name, *but)
    ]


def test_there_are_sources_to_check() -> None:
    assert len(SOURCES) > 20


def test_common_imports_nothing_of_ours() -> None:
    assert not offenders("common", "pretrain", "transfer", "configs")


def test_pretrain_never_imports_transfer() -> None:
    assert not offenders("pretrain", "transfer")


def test_transfer_takes_only_the_model_from_pretrain() -> None:
    """But for ablations, which are experiments over both stages."""
    strangers = offenders("transfer", "pretrain", but=("pretrain.model",))
    found = [line for line in strangers if not line.startswith(("transfer/ablation/", "transfer/commands/ablate.py"))]
    assert [line for line in found if not line.endswith(" imports pretrain")] == []


def test_report_imports_neither_torch_nor_a_framework() -> None:
    assert not offenders("transfer/report", *HEAVY)


@pytest.mark.parametrize(
    ("framework", "homes"),
    [
        (("detectron2",), ("transfer/tasks/detection", "transfer/weights/convert", "transfer/compat.py")),
        (
            ("mmseg", "mmcv", "mmengine"),
            ("transfer/tasks/segmentation", "transfer/weights/convert", "transfer/compat.py"),
        ),
    ],
)
def test_a_framework_is_imported_only_in_its_task_and_converter(
    framework: tuple[str, ...], homes: tuple[str, ...]
) -> None:
    strangers = [
        line
        for line in offenders(".", *framework)
        if not any(Path(line.split(" ")[0]).is_relative_to(home) for home in homes)
    ]
    assert not strangers


def test_no_source_switches_safe_loading_off() -> None:
    loads = {
        path: [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
        ]
        for path in SOURCES
    }
    assert any(loads.values())
    for path, calls in loads.items():
        for call in calls:
            assert "weights_only=True" in ast.unparse(call), f"{path}: {ast.unparse(call)}"
