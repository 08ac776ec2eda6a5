"""What an image costs in the network of a protocol that takes any: operations and memory, counted on shapes alone."""

from __future__ import annotations

import functools
import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from transfer.protocol_lock import accumulation
from transfer.tasks.count import flop_of
from transfer.weights.backbone import architecture
from transfer.weights.backbone.network import build_dense_network
from transfer.weights.backbone.timm_network import NUM_MAPS
from transfer.work import Flop, NetworkPass, StepMemory


@functools.cache
def network_flop(passed: NetworkPass) -> Flop:
    """The operations of an image's way through the network, without the rest; in about a second."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _on_meta(passed.arch).eval().forward_stages(torch.empty(1, 3, passed.height, passed.width, device="meta"))
    once = flop_of(counter)
    return Flop(passed.times * once.convolutions, passed.times * once.products)


@functools.cache
def activation_bytes(arch: str, height: int, width: int) -> int:
    """Memory of what the backward pass of one image needs of the forward pass, in single precision.

    Attention counts as GPUs compute it, without the matrix of all pairs of tokens.
    """
    network = _on_meta(arch).train()
    with _Kept(network) as kept:
        network.forward_stages(torch.empty(1, 3, height, width, device="meta"))
    return sum(storage.nbytes() for storage in kept.storages.values())


@functools.cache
def forward_bytes(arch: str, height: int, width: int) -> int:
    """The most that the forward pass of one more image holds at a time in eval mode, in single precision."""
    network = _on_meta(arch).eval()

    def most(num_images: int) -> int:
        with torch.inference_mode(), _Held() as held:
            network.forward_stages(torch.empty(num_images, 3, height, width, device="meta"))
        return held.most

    return (most(3) - most(1)) // 2  # without what is held once, however many images there are


def image_bytes(memory: StepMemory) -> int:
    """What a step takes for one image, its network's part counted."""
    network = memory.network
    if network is None:
        return memory.image_bytes
    counted = (activation_bytes if network.trains else forward_bytes)(network.arch, network.height, network.width)
    return memory.image_bytes + round(network.times * counted)


def parts_of_batch(memory: StepMemory, *, device: str, num_processes: int) -> int:
    """Into how many parts each GPU's share of the batch is divided; 1 on CPU, whose protocols are small.

    Raises:
        UserError: not even one image fits into the GPU's memory.
    """
    if device == "cpu":
        return 1
    return accumulation(
        memory.batch_size,
        num_devices=num_processes,
        device_bytes=torch.cuda.get_device_properties(0).total_memory,
        image_bytes=image_bytes(memory),
    )


class Maps(nn.Module):
    """Feature maps of the right shapes that cost nothing, in the place of a network."""

    def __init__(self, arch: str, *, is_trained: bool) -> None:
        super().__init__()
        self._arch, self._spec, self._is_trained = arch, architecture.get(arch), is_trained

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        height, width = images.shape[-2:]
        shapes = {
            name: (len(images), channels, height // stride, width // stride)
            for name, channels, stride in zip(self._spec.stages, self._spec.channels, self._spec.strides, strict=True)
        }
        return {name: torch.randn(shape, requires_grad=self._is_trained) for name, shape in shapes.items()}

    def forward_last(self, images: Tensor) -> list[Tensor]:
        return list(self.forward_stages(images).values())[-NUM_MAPS:]

    def forward_joined(self, images: Tensor) -> list[Tensor]:
        times = 2 if architecture.has_class_token(self._arch) else 1
        return [torch.cat([each] * times, dim=1) for each in self.forward_last(images)]


def _on_meta(arch: str) -> Any:
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return build_dense_network(arch)


class _Held(TorchDispatchMode):
    """Adds up the storages that exist at a time, of those that are made in it."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self._now = 0
        self._num_tensors: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, num_bytes = storage._cdata, storage.nbytes()
                if not self._num_tensors[key]:
                    self._now += num_bytes
                    self.most = max(self.most, self._now)
                self._num_tensors[key] += 1
                weakref.finalize(tensor, self._drop, key, num_bytes)
        return outputs

    def _drop(self, key: int, num_bytes: int) -> None:
        self._num_tensors[key] -= 1
        if not self._num_tensors[key]:
            self._now -= num_bytes


class _Kept(TorchFunctionMode):
    """Collects what autograd keeps, each storage once; the network's own parameters are not part of it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._own = {each.untyped_storage()._cdata for each in (*network.parameters(), *network.buffers())}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)
        self.storages: dict[int, torch.UntypedStorage] = {}

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own:
            self.storages[storage._cdata] = storage  # held, so that no other storage gets its address
        return tensor

    def __enter__(self) -> _Kept:
        super().__enter__()
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        for tensor in args[:3]:
            self._keep(tensor)
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: None, lambda tensor: tensor):
            output = func(*args, **(kwargs or {}))
        self._keep(output)
        return output
