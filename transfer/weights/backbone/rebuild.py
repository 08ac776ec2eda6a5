"""The tensors of a pickle, rebuilt from what it says of them; no name in it is imported or called."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twist_common.errors import UserError

if TYPE_CHECKING:
    import torch


class DamagedError(Exception):
    """The bytes are no pickle that this reads."""


def dtype_of(full: str) -> torch.dtype | None:
    import torch

    found = vars(torch).get(full.removeprefix("torch.")) if full.startswith("torch.") else None
    return found if isinstance(found, torch.dtype) else None


def _tensor(source: Any, offset: int, size: Any, stride: Any, *rest: Any) -> Any:
    """A view of a storage, inside it; None while only looking."""
    import torch

    storage, dtype = source
    for other in rest:  # the version of a rebuilding function that names the type
        dtype = other if isinstance(other, torch.dtype) else dtype
        if isinstance(other, dict) and (other.get("neg") or other.get("conj")):
            raise DamagedError("a tensor is kept as the negative or conjugate of what is stored (resolve_neg)")
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in (offset, *size, *stride)):
        raise DamagedError("a tensor's shape is not one")
    if storage is None:
        return None
    flat = torch.empty(0, dtype=dtype).set_(storage)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= flat.numel():
        raise DamagedError(f"a tensor of shape {list(size)} is larger than its storage")
    return flat.as_strided(size, stride, offset if 0 not in size else 0)


def _not_dense(size: Any) -> Any:
    """For one that is sparse, quantised or without values: its shape alone, on no device."""
    import torch

    return torch.empty(tuple(size), device="meta")


def _nested() -> Any:
    """For a nested tensor: an empty one, which is refused as nested."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nested tensors are a prototype
        return torch.nested.nested_tensor([])


def _first(data: Any, *rest: Any) -> Any:
    return data


REBUILD: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_sparse_tensor": lambda layout, data: _not_dense(*[x for x in data if type(x) is tuple]),
    "torch._utils._rebuild_nested_tensor": lambda *data: _nested(),
    "torch._utils._rebuild_qtensor": lambda source, offset, size, *rest: _not_dense(size),
    "torch._utils._rebuild_meta_tensor_no_storage": lambda dtype, size, *rest: _not_dense(size),
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
}


def attributes_of(state: Any) -> dict[Any, Any]:
    """An object's attributes out of what it pickles: a dict, or a pair of it and those in slots."""
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}


def whole(state: Any, arguments: Any) -> Any:
    """A DTensor's local tensor, if that is all of it: ``arguments`` are its class, type, size and more."""
    local = attributes_of(state)["_local_tensor"]
    if local is not None and tuple(local.shape) != tuple(arguments[2]):
        raise UserError(
            "it is one rank's part of a sharded save (FSDP, DTensor): gather it where it was trained "
            "(torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True) and save that"
        )
    return local
