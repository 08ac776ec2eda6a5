"""The project's code on CUDA tensors that hold no data, on a machine without a GPU.

torch's FakeTensorMode carries devices, types, shapes and strides through every operation. What it lacks is made
up here: that there is a GPU, a few kernels' fake forms, and values that the host reads. ``driver_stub.c`` has to be
loaded.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch._dynamo  # which the dispatch modes need, once for all forked processes
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.parallel import distributed as parallel

from tests.devices.watch import Invention, Watch

PROPERTIES = SimpleNamespace(name="fake GPU", total_memory=80 * 2**30, major=9, minor=0, multi_processor_count=132)


def in_a_fork(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls the function in a process of its own, which has what this one imported."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_with_plain_errors, function, *args, **kwargs).result()


def _with_plain_errors(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The function's result; its error is one of text alone, since not all of torch's can be pickled."""
    try:
        return function(*args, **kwargs)
    except Exception:
        raise RuntimeError(traceback.format_exc()) from None


@contextlib.contextmanager
def fake_cuda(num_processes: int = 1) -> Iterator[Watch]:
    """Within it there is one GPU, new tensors are fake, and this is the first of a group's processes.

    Yields:
        A watch that counts once it is entered.
    """
    register_kernels()
    watch = Watch()
    with contextlib.ExitStack() as stack:
        for owner, name, value in _answers(watch):
            stack.enter_context(mock.patch.object(owner, name, value))
        if num_processes > 1:
            from torch.testing._internal.distributed.fake_pg import FakeStore

            dist.init_process_group("fake", rank=0, world_size=num_processes, store=FakeStore())
            stack.callback(dist.destroy_process_group)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(Invention())
        yield watch


def _answers(watch: Watch) -> list[tuple[Any, str, Any]]:
    """What is asked of CUDA and of fake tensors otherwise than by operations, and the answers.

    DistributedDataParallel compares parameters and buckets among processes in C++, where it reads their values.
    """

    def tolist(tensor: Tensor) -> Any:
        if tensor.device.type == "cuda":
            watch.wait("tolist")
        return np.zeros(tuple(tensor.shape), float if tensor.is_floating_point() else int).tolist()

    def numpy(tensor: Tensor, *, force: bool = False) -> Any:
        assert tensor.device.type == "cpu", "numpy() of a tensor on the device"
        return np.zeros(tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))

    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "_lazy_init": lambda: None,
        "synchronize": lambda *args: watch.wait("synchronize"),
        "is_current_stream_capturing": lambda: False,
        "get_device_properties": lambda *args: PROPERTIES,
        "get_device_capability": lambda *args: (9, 0),
        "get_device_name": lambda *args: PROPERTIES.name,
        "max_memory_allocated": lambda *args, **kwargs: 0,
        "reset_peak_memory_stats": _forget,
        "manual_seed_all": lambda seed: None,
        "is_bf16_supported": lambda *args, **kwargs: True,
    }
    return [
        *((torch.cuda, name, answer) for name, answer in cuda.items()),
        (FakeTensor, "tolist", tolist),
        (FakeTensor, "numpy", numpy),
        (FakeTensor, "__deepcopy__", _copied),
        (Tensor, "pin_memory", lambda tensor, *args: watch.pin(tensor)),
        (nn.Module, "_apply", _apply),
        (FakeTensorMode, "avoid_device_init", property(lambda mode: True)),  # else CUDA's own guard is in use
        (parallel.DistributedDataParallel, "__init__", _init_parallel),
        (parallel, "_verify_param_shape_across_processes", lambda *args, **kwargs: None),
        (dist.Reducer, "_rebuild_buckets", lambda *args: False),
        (torch._C, "_select_conv_backend", lambda *args, **kwargs: torch._C._ConvBackend.Cudnn),
        (torch._C, "_conv_determine_backend_memory_format", _cudnn_layout),
    ]


def _forget(*args: Any) -> None:
    raise AssertionError("the record's peak of memory is forgotten")


def _copied(tensor: FakeTensor, memo: dict[int, Any]) -> Tensor:
    """``Tensor.__deepcopy__``; torch's copies the whole FakeTensorMode with each tensor, which damages the heap."""
    if id(tensor) not in memo:
        copy = tensor.detach().clone()
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(copy, tensor.requires_grad) if is_parameter else copy
    copied: Tensor = memo[id(tensor)]
    return copied


def _apply(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """``nn.Module._apply``; torch's swaps fake parameters in place, which fails where something refers to them."""
    for child in module.children():
        child._apply(change)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                module._parameters[name] = nn.Parameter(change(parameter), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


_init_ddp = parallel.DistributedDataParallel.__init__


def _init_parallel(wrapper: parallel.DistributedDataParallel, *args: Any, **kwargs: Any) -> None:
    """``DistributedDataParallel.__init__``; the reducer's own collective takes no answer of a fake group."""

    def reduce(state, bucket):  # torch checks annotations, and not as the strings that they are here
        dist.all_reduce(bucket.buffer())
        reduced: torch.futures.Future[Tensor] = torch.futures.Future()
        reduced.set_result(bucket.buffer())
        return reduced

    _init_ddp(wrapper, *args, **kwargs)
    wrapper.register_comm_hook(None, reduce)


def _cudnn_layout(images: Tensor, weight: Tensor, backend: Any) -> torch.memory_format:
    """Channels last if images or weight are: ``cudnn_conv_suggest_memory_format`` in ATen/native/ConvUtils.h."""

    def is_last(maps: Tensor) -> bool:
        return maps.dim() == 4 and maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()

    return torch.channels_last if is_last(images) or is_last(weight) else torch.contiguous_format


_REGISTERED: list[torch.library.Library] = []


def register_kernels() -> None:
    """Gives operations of torch that lack a fake form one. Idempotent."""
    if _REGISTERED:
        return
    library = torch.library.Library("aten", "IMPL")
    _REGISTERED.append(library)

    def per_channel(like: Tensor, images: Tensor, number: int) -> tuple[Tensor, ...]:
        return tuple(like.new_empty(images.shape[1]) for _ in range(number))

    def stats(images: Tensor, eps: float) -> tuple[Tensor, ...]:
        return per_channel(images.new_empty(0, dtype=torch.promote_types(images.dtype, torch.float32)), images, 2)

    kernels = {
        "_fused_sgd_": lambda *args, **kwargs: None,
        "batch_norm_stats": stats,
        "batch_norm_gather_stats_with_counts": lambda images, mean, *args: per_channel(mean, images, 2),
        "batch_norm_elemt": lambda images, *args: torch.empty_like(images),
        "batch_norm_backward_reduce": lambda grad, images, mean, *args: per_channel(mean, images, 4),
        "batch_norm_backward_elemt": lambda grad, images, *args: torch.empty_like(images),
    }
    for name, kernel in kernels.items():
        library.impl(name, kernel, "Meta")
