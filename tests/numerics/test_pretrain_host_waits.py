"""What makes the host wait for a GPU, looked for without one: on ``meta``, whose tensors hold nothing to wait for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import twist_configs.pretrain
from pretrain.data import device_augment
from pretrain.loss import closed_form
from pretrain.loss.twist import momentum_twist_loss, multicrop_twist_loss
from twist_common import overrides

META = torch.device("meta")


class Waits(TorchFunctionMode):
    """Counts calls for which the host would wait: values read, and copies to the device that are not asynchronous."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        is_from_host = name == "tensor" and kwargs.get("device") not in (None, "cpu", torch.device("cpu"))
        is_from_host |= name == "new_tensor" and args[0].device == META
        is_copy = name == "to" and args[0].device != META and (META in args or kwargs.get("device") == META)
        is_copy |= name == "to" and any(isinstance(arg, Tensor) and arg.device == META for arg in args[1:])
        is_read = name in ("item", "tolist", "nonzero", "cpu") and args[0].device == META
        if is_read or is_from_host or (is_copy and not kwargs.get("non_blocking")):
            self.seen.append(name)
        return func(*args, **kwargs)


def test_colors_on_the_device_do_not_make_the_host_wait() -> None:
    recipe = overrides.apply(twist_configs.pretrain.get("rn50"), ["augmentation.jitter_on=device"])
    views = [torch.zeros(16, 3, size, size, dtype=torch.uint8) for size in recipe.crops.view_sizes[:4]]
    with Waits() as waits:
        device_augment.prepare(views, recipe, torch.arange(16), META)
    assert waits.seen == []


def test_the_loss_does_not_make_the_host_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "_full_precision", contextlib.nullcontext)  # `meta` knows no autocast
    logits = torch.zeros(4, 8, 16, device=META, requires_grad=True)
    with Waits() as waits:
        multicrop_twist_loss(logits, 2).total.backward()
        momentum_twist_loss(logits, torch.zeros(2, 8, 16, device=META)).total.backward()
    assert waits.seen == []


def test_waits_are_found() -> None:
    with Waits() as waits:
        torch.tensor([1.0], device=META)
        torch.zeros(1).to(META)
        torch.zeros(1, device=META).new_tensor([1.0])
        torch.from_numpy(np.zeros(1)).to(META, non_blocking=True)
    assert waits.seen == ["tensor", "to", "new_tensor"]
