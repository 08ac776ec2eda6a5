"""The compatibility module: stand-ins only where something is missing, and a clear word when one is called."""

from __future__ import annotations

import importlib
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from transfer import compat


@pytest.fixture
def fake_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "fakeframework").mkdir()
    (tmp_path / "fakeframework" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield "fakeframework"
    for name in ("fakeframework", "fakeframework._C"):
        sys.modules.pop(name, None)


def test_a_missing_compiled_op_names_itself_and_the_remedy(fake_package: str) -> None:
    compat._stand_in(fake_package, "_C", "build it from source", {"has_cuda": lambda: False})
    extension = sys.modules["fakeframework._C"]
    assert extension.has_cuda() is False
    with pytest.raises(compat.MissingCompiledOpError, match=r"fakeframework\._C\.nms_rotated.*build it from source"):
        extension.nms_rotated(1, 2)


def test_a_real_extension_is_left_alone(fake_package: str, tmp_path: Path) -> None:
    (tmp_path / "fakeframework" / "_C.py").write_text("real = True\n")
    compat._stand_in(fake_package, "_C", "", {})
    assert "fakeframework._C" not in sys.modules
    import fakeframework._C  # type: ignore[import-not-found]

    assert fakeframework._C.real


def test_a_stand_in_is_a_module_with_a_spec(fake_package: str) -> None:
    compat._stand_in(fake_package, "_C", "", {})
    extension = sys.modules["fakeframework._C"]
    assert isinstance(extension, types.ModuleType) and extension.__spec__ is not None
    assert not hasattr(extension, "__wrapped__")  # inspect looks for such names


def test_safe_loading_takes_mmengine_history_and_still_refuses_code(tmp_path: Path) -> None:
    compat.prepare_mmseg()
    from mmengine.logging import HistoryBuffer

    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save({"loss": history}, tmp_path / "good.pth")
    loaded = torch.load(tmp_path / "good.pth", weights_only=True)
    assert loaded["loss"].mean() == 1.5

    class Hostile:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"loss": Hostile()}, tmp_path / "bad.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "bad.pth", weights_only=True)
    assert not (tmp_path / "executed").exists()
