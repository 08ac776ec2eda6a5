"""Counts what makes the host wait for the device, and the collectives, with the line of the project that asked."""

from __future__ import annotations

import collections
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = str(Path(__file__).resolve().parents[2])
HERE = str(Path(__file__).resolve().parent)
FRAMEWORKS = ("detectron2", "fvcore", "mmcv", "mmengine", "mmseg")
STAGED_BYTES = 2**16  # up to which a copy from memory that is not pinned returns at once, says CUDA's documentation

aten = torch.ops.aten
# Their result's shape, or the host's next line, depends on values.
READS = {
    aten._local_scalar_dense, aten.nonzero, aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.masked_select,
    aten.equal, aten.bincount,
}  # fmt: skip
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


@dataclass
class Counts:
    """What some lines did.

    Attributes:
        waits, collectives: by kind and place, as in "tolist at pretrain/run/optim.py:66".
        convolutions: by the layout of their input, "channels last" or "row-major", and its type.
    """

    waits: dict[str, int] = field(default_factory=dict)
    collectives: dict[str, int] = field(default_factory=dict)
    convolutions: dict[str, int] = field(default_factory=dict)

    @property
    def num_waits(self) -> int:
        return sum(self.waits.values())

    @property
    def num_collectives(self) -> int:
        return sum(self.collectives.values())


class Watch(TorchDispatchMode):
    """Counts while it is active.

    Attributes:
        waits, collectives, convolutions: see :class:`Counts`.
        pinned: storages in pinned memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: collections.Counter[str] = collections.Counter()
        self.collectives: collections.Counter[str] = collections.Counter()
        self.convolutions: collections.Counter[str] = collections.Counter()
        self.pinned: list[torch.UntypedStorage] = []

    def clear(self) -> None:
        """Begins to count again."""
        for counts in (self.waits, self.collectives, self.convolutions):
            counts.clear()

    def counts(self) -> Counts:
        """What was counted since."""
        return Counts(dict(self.waits), dict(self.collectives), dict(self.convolutions))

    def wait(self, kind: str) -> None:
        """Counts one wait, of the line that is running."""
        self.waits[f"{kind} at {place()}"] += 1

    def pin(self, tensor: Tensor) -> Tensor:
        """Notes that the tensor is in pinned memory."""
        self.pinned.append(tensor.untyped_storage())
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "aten":
            with self:  # in inference mode, operations that are made of others come whole
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        packet = func.overloadpacket
        name = str(packet).rpartition(".")[2]
        if str(packet).startswith("c10d."):
            self.collectives[f"{name.strip('_')} at {place()}"] += 1
        if (packet in READS or name == "nms") and _is_on_gpu(args):
            self.wait("item" if packet is aten._local_scalar_dense else name)
        if packet in INDEXED and args[0].device.type == "cuda" and any(map(_is_mask, args[1])):
            self.wait("index by mask")
        result = func(*args, **kwargs)
        if packet is aten._to_copy:
            self._copied(args[0], result, kwargs.get("non_blocking", False))
        elif packet is aten.copy_:
            self._copied(args[1], args[0], args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        elif packet is aten.convolution:
            is_last = args[0].dim() == 4 and args[0].is_contiguous(memory_format=torch.channels_last)
            layout = "channels last" if is_last else "row-major"
            self.convolutions[f"{layout} {str(args[0].dtype).removeprefix('torch.')}"] += 1
        return result

    def _copied(self, source: Tensor, target: Tensor, is_asynchronous: bool) -> None:
        if source.device.type == target.device.type:
            return
        if target.device.type == "cpu":
            self.wait("copy to the host")
        elif not is_asynchronous:
            self.wait("copy to the device")
        elif source.nbytes > STAGED_BYTES and not self._is_pinned(source):
            self.wait("copy of memory that is not pinned")

    def _is_pinned(self, tensor: Tensor) -> bool:
        return any(storage._cdata == tensor.untyped_storage()._cdata for storage in self.pinned)


class Invention(TorchDispatchMode):
    """Gives results to operations that depend on values, which fake tensors do not have.

    Numbers are 0, and truth values true. What the host computed for itself, when it draws a network's weights and
    rates, is 0.5 and false.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet, first = func.overloadpacket, args[0] if args else None
        if packet is aten._local_scalar_dense and isinstance(first, FakeTensor):
            is_on_host = first.device.type == "cpu"
            if first.dtype == torch.bool:
                return not is_on_host
            return 0.5 * is_on_host if first.is_floating_point() else 0
        if packet is aten.equal:
            return True
        if packet is aten.nonzero:
            return first.new_empty((first.numel(), first.dim()), dtype=torch.long)
        if packet is aten.masked_select:
            return first.new_empty(first.numel())
        if packet is aten.bincount:
            return first.new_zeros(args[2], dtype=torch.long)
        if str(packet) == "torchvision.nms":
            return first.new_empty(first.shape[0], dtype=torch.long)
        if packet is aten._unique2:
            flat = first.flatten()
            return flat.clone(), torch.empty_like(first, dtype=torch.long), torch.empty_like(flat, dtype=torch.long)
        if packet is aten.index and _is_mask(args[1][-1]) and not any(index is not None for index in args[1][:-1]):
            side = len(args[1]) - 1
            return first.flatten(side, side + args[1][-1].dim() - 1).clone()
        return func(*args, **(kwargs or {}))


def layout(tensor: Tensor) -> list[int]:
    """Strides of the sides that have more than one place: those of the others say nothing."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def place() -> str:
    """The innermost line of the project, but of no test, or of a framework; torch's own backward passes have none."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        installed = path.rpartition("/site-packages/")[2]
        if installed != path and installed.startswith(FRAMEWORKS):
            return f"{installed}:{frame.f_lineno}"
        if path.startswith(ROOT) and not path.startswith(HERE) and "/.venv/" not in path:
            return f"{path[len(ROOT) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "the backward pass"


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def _is_on_gpu(args: Any) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.device.type == "cuda" for leaf in tree_leaves(args))
