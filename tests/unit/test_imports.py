"""Which package may import which, read from the sources; and no circles, of files or of packages."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("twist_common", "twist_configs", "pretrain", "transfer")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
HEAVY = ("torch", "torchvision", "timm", "detectron2", "mmseg", "mmcv", "mmengine", "fvcore")

# The rooms of `transfer`, each with what it may import of ours; "transfer" is the contract, the modules at its top.
ARROWS = {
    "transfer": {"twist_common"},
    "transfer.outcomes": {"twist_common"},
    "transfer.weights": {"transfer", "twist_common", "pretrain.model"},
    "transfer.tasks": {"transfer.outcomes", "transfer.weights", "transfer", "twist_common", "pretrain.model"},
    "transfer.trials": {"transfer", "twist_common"},
    "transfer.doctor": {"transfer.tasks", "transfer", "twist_common"},
    "transfer.planner": {
        "transfer.tasks",
        "transfer.trials",
        "transfer.weights",
        "transfer",
        "twist_common",
        "pretrain.model",
    },
    "transfer.preflight": {"transfer.doctor", "transfer.trials", "transfer.weights", "transfer", "twist_common"},
    "transfer.report": {"transfer.outcomes", "transfer", "twist_common"},
}
FREE = ("transfer.commands", "transfer.ablation", "transfer.api")  # above all others


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in the file, for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def import_graph() -> dict[str, set[str]]:
    """Each module of ours to those of ours that it imports."""
    modules = {module_name(path): path for path in SOURCES}

    def ours(name: str) -> str:
        while name and name not in modules:  # a name within a module
            name = name.rpartition(".")[0]
        return name

    return {name: {ours(each) for each in imports(path)} - {name, ""} for name, path in modules.items()}


def package_of(module: str, depth: int) -> str:
    """The package of a module, at most ``depth`` levels deep."""
    is_package = (ROOT / module.replace(".", "/")).is_dir()
    package = module if is_package else module.rpartition(".")[0]
    return ".".join(package.split(".")[:depth])


def between_packages(graph: Mapping[str, Iterable[str]], depth: int) -> dict[str, set[str]]:
    """The same between packages; a module at the top of `pretrain` or `transfer` counts as a package of its own."""

    def place(module: str) -> str:
        package = package_of(module, depth)
        return module if package in PACKAGES else package

    places: dict[str, set[str]] = {}
    for module, imported in graph.items():
        places.setdefault(place(module), set()).update(map(place, imported))
    return {name: imported - {name} for name, imported in places.items()}


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """A circle of the graph; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


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
    assert len(SOURCES) > 200
    assert sum(map(len, import_graph().values())) > 1000


def test_no_circle_of_files() -> None:
    assert circle(import_graph()) == []


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_no_circle_of_packages(depth: int) -> None:
    """With packages taken so many levels deep: the rooms, and the rooms within them."""
    assert circle(between_packages(import_graph(), depth)) == []


def test_a_circle_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: two files that import each other, one of them for types alone."""
    (tmp_path / "twist_common").mkdir()
    (tmp_path / "twist_common" / "one.py").write_text("from twist_common import two\n")
    (tmp_path / "twist_common" / "two.py").write_text("if TYPE_CHECKING:\n    from twist_common.one import name\n")
    monkeypatch.setattr("tests.unit.test_imports.ROOT", tmp_path)
    monkeypatch.setattr("tests.unit.test_imports.SOURCES", sorted(tmp_path.rglob("*.py")))
    assert set(circle(import_graph())) == {"twist_common.one", "twist_common.two"}


def test_common_imports_nothing_of_ours() -> None:
    assert not offenders("twist_common", "pretrain", "transfer", "twist_configs")


def test_pretrain_never_imports_transfer() -> None:
    assert not offenders("pretrain", "transfer")


def test_every_room_of_transfer_imports_only_what_is_below_it() -> None:
    graph = import_graph()
    rooms = {package_of(module, 2) for module in graph if is_in(module, "transfer")}
    assert rooms == {*ARROWS, *FREE}
    for module, imported in graph.items():
        home = package_of(module, 2)
        if home in ARROWS:
            strangers = [
                each
                for each in imported
                if package_of(each, 2) not in {home, *ARROWS[home]} and package_of(each, 1) not in ARROWS[home]
            ]
            assert not strangers, f"{module} imports {strangers}"


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
