"""Metadata does not block weights, and no name in a file is imported or called; other kinds of file are named."""

from __future__ import annotations

import argparse
import collections
import datetime
import functools
import pathlib
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transfer.weights.backbone.read import read_checkpoint
from twist_common.errors import UserError

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "bn.count": torch.tensor(7)}


class Callback:
    """An object of training code."""

    def __init__(self) -> None:
        self.best = pathlib.Path("best.ckpt")


class Settings(dict[str, Any]):
    """Lightning's AttributeDict is one of these."""


METADATA: dict[str, Any] = {
    "NumPy scalar": np.float64(0.04),
    "NumPy array": np.arange(5),
    "NumPy random state": np.random.RandomState(0).get_state(),
    "path": pathlib.Path("/data"),
    "partial": functools.partial(sorted, reverse=True),
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "counter": collections.Counter("aab"),
    "date": datetime.datetime(2021, 1, 1),
    "generator": torch.get_rng_state(),
    "object": Callback(),
    "dict by another name": Settings(lr=0.1),
    "module": nn.Linear(2, 3),
    "optimizer class": torch.optim.SGD,
    "sets": [{1, "a"}, frozenset({(1, 2)}), slice(1, 2), complex(1, 2), b"bytes", bytearray(b"more")],
    "shape": torch.Size([2, 3]),
    "type and device": [torch.float16, torch.device("cpu"), torch.strided],
}


def equal(state: Mapping[str, Any], expected: Mapping[str, torch.Tensor]) -> bool:
    return state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in expected)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", METADATA)
def test_metadata_beside_the_weights_does_not_block_them(
    kind: str, protocol: int, zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    content = {"meta": [METADATA[kind]], "state_dict": STATE, "epoch": 3}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert equal(read["state_dict"], STATE) and read["epoch"] == 3


def test_plain_containers_by_other_names_are_plain(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    content = {
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": METADATA["defaultdict"],
        "settings": Settings(lr=0.1),
        "args": argparse.Namespace(arch="resnet18", out=pathlib.Path("x")),
    }
    torch.save(content, path)
    read = read_checkpoint(path)
    assert list(read["ordered"].items()) == [("b", 1), ("a", 2)]
    assert read["default"] == {"a": [1]} and type(read["default"]) is dict
    assert read["settings"] == {"lr": 0.1}
    assert read["args"].arch == "resnet18" and "not read" in repr(read["args"].out)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_module_gives_its_state_dict(zipped: bool, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3), nn.Sequential(nn.Linear(3, 2)))
    module.register_buffer("cache", torch.zeros(2), persistent=False)
    for content in (module, {"model": module}):
        torch.save(content, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
        read = read_checkpoint(tmp_path / "model.pth")
        assert equal(read.get("model", read), module.state_dict())


def test_views_of_shared_storages_are_equal_and_of_all_types(tmp_path: Path) -> None:
    arena = torch.arange(100.0)
    state = {"a": arena[:10], "b": arena[10:40].reshape(5, 6).t(), "c": arena[::2], "empty": torch.zeros(0, 3)}
    for name in ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"):
        state[name] = torch.tensor([0, 1, 1], dtype=getattr(torch, name))
    state["float8"] = torch.ones(3).to(torch.float8_e4m3fn)
    state["parameter"] = nn.Parameter(torch.ones(2))
    for zipped in (True, False):
        torch.save(state, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
        read = read_checkpoint(tmp_path / "model.pth")
        assert all(torch.equal(read[key].double(), state[key].double()) for key in state if key != "complex64")
        assert all(read[key].dtype == state[key].dtype for key in state)


# Nothing foreign is imported or called ------------------------------------------------------------------------------

MODULE = "module_that_a_checkpoint_names"


class Reduced:
    """Pickles as whatever call it is given."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def hostile(module: Any) -> dict[str, Any]:
    """Each would leave the mark that :func:`module.run` leaves, or have it imported, if it were unpickled."""
    return {
        "call": Reduced(module.run, ()),
        "call in a call": Reduced(sorted, ([1, Reduced(module.run, ())],)),
        "state": Reduced(Callback, (), {"callback": Reduced(module.run, ())}),
        "state's setter": Reduced(module.Set, (), {"x": 1}),
        "items": Reduced(collections.defaultdict, (module.run,), None, None, iter([("missing", 1)])),
        "elements": Reduced(module.Append, (), None, iter([1])),
        "partial": functools.partial(module.run),
        "tensor subclass": Reduced(torch._tensor._rebuild_from_type_v2, (module.run, torch.Tensor, (), {})),
        "hooks": Reduced(
            torch._utils._rebuild_parameter, (torch.zeros(1), False, collections.OrderedDict(a=module.run))
        ),
    }


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module whose import, functions and classes leave a mark; gone from ``sys.modules`` when a test begins."""
    mark = f"open({str(tmp_path / 'mark')!r}, 'w').close()"
    source = f"def run(*args):\n    {mark}\n"
    source += f"class Set:\n    def __setstate__(self, state):\n        {mark}\n"
    source += f"class Append:\n    def append(self, item):\n        {mark}\n    extend = append\n"
    (tmp_path / f"{MODULE}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__(MODULE)
    sys.modules.pop(MODULE, None)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", [*hostile(argparse.Namespace(run=len, Set=len, Append=len))])
def test_no_name_in_a_file_is_imported_or_called(
    kind: str, protocol: int, zipped: bool, module: Any, tmp_path: Path
) -> None:
    path, mark = tmp_path / "model.pth", tmp_path / "mark"
    content = {"state_dict": STATE, "extra": hostile(module)[kind]}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    del sys.modules[MODULE]
    assert equal(read_checkpoint(path)["state_dict"], STATE)
    assert MODULE not in sys.modules and not mark.exists()


@pytest.mark.parametrize(
    "attack",
    [
        b"cos\nsystem\n(S'touch MARK'\ntR.",
        b"(S'touch MARK'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch MARK'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch MARK\x85R.",
        b'cbuiltins\neval\n(S\'open("MARK", "w")\'\ntR.',
        b'c__builtin__\nexec\n(S\'open("MARK", "w")\'\ntR.',
        b"ccollections\ndefaultdict\n(cbuiltins\neval\ntR.",
        b"cfunctools\npartial\n(cos\nsystem\nS'touch MARK'\ntR(tR.",
    ],
)
def test_commands_are_refused_by_name_and_not_run(
    attack: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("model.pth", "w") as archive:
        archive.writestr("model/data.pkl", attack)
    with pytest.raises(UserError, match="which is not run"):
        read_checkpoint(tmp_path / "model.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (b"}" * 6_000_000 + b".", "too many operations"),
        (b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.", "as a key"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}b.", "dict of tensors"),
        (b"\x82\x01.", "unknown operation"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "holds a list"),
        (b"\x80\x02}U\x01a" + b"]" * 1000 + b"a" * 999 + b"s.", "nested deeper"),
    ],
)
def test_pickles_that_would_exhaust_the_process_are_refused(attack: bytes, says: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("model/data.pkl", attack)
    with pytest.raises(UserError, match=says):
        read_checkpoint(tmp_path / "model.pth")


def test_head_of_a_million_million_classes_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "head": torch.zeros(1).expand(1 << 40)}, tmp_path / "model.pth")
    with pytest.raises(UserError, match=r"would fill 4\.4e\+12 bytes"):
        read_checkpoint(tmp_path / "model.pth")
