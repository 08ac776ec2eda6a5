"""A pickle read as data: tensors are rebuilt, every other name stands for itself, neither imported nor called."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from transfer.weights.backbone.rebuild import REBUILD, DamagedError, attributes_of, dtype_of, whole

MAX_BYTES = 400 << 20
"""What the objects of a pickle may take, as :data:`COSTS` counts them. ViT-L with its optimiser counts 11 MiB; one byte
of a hostile file makes a set of 216 bytes, and a call can copy a list of a million."""
LONGEST = 1 << 20
"""Texts and bytes that are longer, such as NumPy's arrays, are passed over: no weights are among them."""
TEXT = 5  # bytes for one of the file: a text with one rare letter has four for each, and the file's own

MAPPINGS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict")
SEQUENCES: dict[str, Callable[[Any], Any]] = {
    "builtins.list": list,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.tuple": tuple,
    "torch.Size": tuple,
}


@dataclass(frozen=True, slots=True)
class Name:
    """What the pickle calls ``module.name``. It is text."""

    name: str


@dataclass(slots=True, eq=False)
class Foreign:
    """An object of a foreign class, or what a foreign function would have given: all that the pickle says of it."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.name}, not read>"


class _Counted(dict[int, Any]):
    """The unpickler's operations; what takes more than :data:`MAX_BYTES` in all is refused."""

    left = MAX_BYTES

    def charge(self, num_bytes: int) -> None:
        self.left -= num_bytes
        if self.left < 0:
            raise DamagedError("its pickle has too many operations for a checkpoint")

    def __getitem__(self, code: int) -> Any:
        if code not in self:
            raise DamagedError(f"its pickle has the unknown operation {code}")
        self.charge(COSTS.get(code, OTHERS))
        return super().__getitem__(code)


class _Metered:
    """A pickle's file. What is longer than :data:`LONGEST` comes out empty, the rest is charged."""

    def __init__(self, file: IO[bytes], charge: Callable[[int], None]) -> None:
        self._file, self._charge = file, charge

    def read(self, size: int) -> bytes:
        if size > LONGEST:
            self._file.seek(size, io.SEEK_CUR)
            return b""
        self._charge(TEXT * size)
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(LONGEST)
        if not line.endswith(b"\n"):
            raise DamagedError("its pickle has a line without an end")
        self._charge(TEXT * len(line))
        return line


Storage = Callable[[Any], Any]
"""From a persistent id to ``(UntypedStorage or None, dtype)``; None while only looking."""


class Unpickler(pickle._Unpickler):
    """Python's own loop, with every operation that could import, call or set something replaced.

    The tensors are views of what ``storage`` gives, never larger than it, whatever the pickle says of their shapes.
    """

    def __init__(self, file: IO[bytes], storage: Storage) -> None:
        counted = _Counted(OPERATIONS)
        super().__init__(_Metered(file, counted.charge), encoding="latin1")
        self.storage = storage
        self.names: dict[str, None] = {}
        self.charge = counted.charge
        self.dispatch = counted  # type: ignore[misc]

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.").replace("copy_reg.", "copyreg.")
        self.names[full] = None
        return dtype_of(full) or Name(full)

    def persistent_load(self, pid: Any) -> Any:
        return self.storage(pid)

    def made(self, function: Any, args: Any) -> Any:
        """What calling ``function`` would give: a tensor or a plain container, or a note of it."""
        if not isinstance(args, tuple):
            raise DamagedError("its pickle calls something without a tuple of arguments")
        if not isinstance(function, Name):
            return Foreign(str(getattr(function, "name", type(function).__name__)), args)
        name = function.name
        if name in MAPPINGS:
            entries = args[0] if args and isinstance(args[0], list | dict) else {}
            self.charge(OTHERS * len(entries))
            pairs = entries.items() if isinstance(entries, dict) else entries
            return {_hashable(key): value for key, value in pairs}
        if name in SEQUENCES:
            items = args[0] if args and isinstance(args[0], list | tuple | set) else ()
            self.charge(OTHERS * len(items))
            return SEQUENCES[name](map(_hashable, items) if "set" in name else items)
        if name in REBUILD:
            self.charge(TENSOR)
            return REBUILD[name](*args)
        if name == "torch._tensor._rebuild_from_type_v2" and len(args) == 4:
            is_dtensor = "_local_tensor" in attributes_of(args[3])
            return whole(args[3], args[2]) if is_dtensor else self.made(args[0], args[2])
        if name == "copyreg._reconstructor" and args and isinstance(args[0], Name):
            return Foreign(args[0].name)
        if name == "copyreg.__newobj__" and args:
            return self.made(args[0], args[1:])
        return Foreign(name, args)


# What they take: bytes, with what the tree that is made of them takes (:mod:`transfer.weights.backbone.tree`) ---------

OTHERS, MEMO, CONTAINER, CALL, TENSOR = 100, 200, 400, 600, 2000
COSTS = {
    **dict.fromkeys(b"pqr\x94", MEMO),  # PUT, BINPUT, LONG_BINPUT, MEMOIZE
    **dict.fromkeys(b"]l}dt\x85\x86\x87\x8f\x91(", CONTAINER),  # lists, dicts, tuples, sets, MARK
    **dict.fromkeys(b"Rbo\x81\x92ic\x93PQ", CALL),  # REDUCE, BUILD, OBJ, NEWOBJ, NEWOBJ_EX, INST, names, storages
}

# The operations -----------------------------------------------------------------------------------------------------


def _reduce(self: Any) -> None:
    args = self.stack.pop()
    self.stack[-1] = self.made(self.stack[-1], args)


def _newobj_ex(self: Any) -> None:
    self.stack.pop()
    _reduce(self)


def _obj(self: Any) -> None:
    args = self.pop_mark()
    self.append(self.made(args[0], tuple(args[1:])))


def _inst(self: Any) -> None:
    module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))
    self.append(self.made(self.find_class(module, name), tuple(self.pop_mark())))


def _build(self: Any) -> None:
    state = self.stack.pop()
    if isinstance(self.stack[-1], Foreign):
        self.stack[-1].state = state


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) not in (list, Foreign):
        raise DamagedError(f"its pickle appends to a {type(target).__name__}")
    (target if isinstance(target, list) else target.elements).extend(items)


def _append(self: Any) -> None:
    item = self.stack.pop()
    _extend(self.stack[-1], [item])


def _appends(self: Any) -> None:
    items = self.pop_mark()
    _extend(self.stack[-1], items)


def _hashable(key: Any, depth: int = 0) -> Any:
    """A key of a dict or a set. Hashing a tuple nested a million deep would end the process."""
    if type(key) is tuple and depth < 3:
        for part in key:
            _hashable(part, depth + 1)
    elif not isinstance(key, str | int | float | bytes | complex | Name | Foreign | frozenset | None):
        raise DamagedError(f"its pickle has a {type(key).__name__} as a key")
    return key


def _set(target: Any, items: list[Any]) -> None:
    if type(target) not in (dict, Foreign):
        raise DamagedError(f"its pickle sets entries of a {type(target).__name__}")
    into = target if isinstance(target, dict) else target.entries
    for key, value in zip(items[::2], items[1::2], strict=True):
        into[_hashable(key)] = value


def _setitem(self: Any) -> None:
    items = [self.stack.pop(-2), self.stack.pop()]
    _set(self.stack[-1], items)


def _setitems(self: Any) -> None:
    items = self.pop_mark()
    _set(self.stack[-1], items)


def _additems(self: Any) -> None:
    items = self.pop_mark()
    if type(self.stack[-1]) is set:
        self.stack[-1].update(map(_hashable, items))
    else:
        _extend(self.stack[-1], items)


def _frozenset(self: Any) -> None:
    self.append(frozenset(map(_hashable, self.pop_mark())))


def _frame(self: Any) -> None:
    """Frames are for readers that take a pickle in parts; what they would take at once may be all of the file."""
    self.read(8)


def _bytearray8(self: Any) -> None:
    self.append(self.read(int.from_bytes(self.read(8), "little")))


def _persid(self: Any) -> None:
    self.append(self.persistent_load(self.readline()[:-1].decode("ascii")))


EXTENSIONS = (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)
OPERATIONS: dict[int, Any] = {
    code: run for code, run in pickle._Unpickler.dispatch.items() if bytes([code]) not in EXTENSIONS
} | {
    pickle.REDUCE[0]: _reduce,
    pickle.NEWOBJ[0]: _reduce,
    pickle.NEWOBJ_EX[0]: _newobj_ex,
    pickle.OBJ[0]: _obj,
    pickle.INST[0]: _inst,
    pickle.BUILD[0]: _build,
    pickle.APPEND[0]: _append,
    pickle.APPENDS[0]: _appends,
    pickle.SETITEM[0]: _setitem,
    pickle.SETITEMS[0]: _setitems,
    pickle.ADDITEMS[0]: _additems,
    pickle.FROZENSET[0]: _frozenset,
    pickle.PERSID[0]: _persid,
    pickle.FRAME[0]: _frame,
    pickle.BYTEARRAY8[0]: _bytearray8,
}
