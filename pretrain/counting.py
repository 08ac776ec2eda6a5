"""What one view costs: multiply-accumulates and bytes kept, counted on the recipe's network without running it."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pretrain.model.build import build_backbone
from pretrain.model.head import ProjectionHead, head_config
from pretrain.recipe import Crops, Model
from twist_common.counting import counted_forward


@dataclass(frozen=True)
class Cost:
    """What one view costs on its way through a network.

    Attributes:
        macs: multiply-accumulates of matrix products, convolutions and attention; the rest (norms, activations,
            pooling) is small and bound by memory.
        saved_bytes: what autograd keeps for the backward pass, under bfloat16 autocast.
    """

    macs: int
    saved_bytes: int


@dataclass(frozen=True)
class Counts:
    """The size and costs of a recipe's network; the head's cost is the same for every view."""

    num_parameters: int
    global_crop: Cost
    local_crop: Cost
    head: Cost


@functools.cache
def count(model: Model, crops: Crops) -> Counts:
    """Counts from shapes alone, in about a second; no tensor of the network is ever allocated."""
    with torch.device("meta"):
        backbone = build_backbone(model.backbone)
        head = ProjectionHead(**head_config(model, backbone.num_features))

    def cost(network: nn.Module, *shape: int) -> Cost:
        return Cost(macs(network, shape), saved_bytes(network, shape))

    return Counts(
        num_parameters=sum(parameter.numel() for part in (backbone, head) for parameter in part.parameters()),
        global_crop=cost(backbone, 3, crops.global_size, crops.global_size),
        local_crop=cost(backbone, 3, crops.local_size, crops.local_size),
        head=cost(head, backbone.num_features),
    )


def macs(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of one forward pass.

    Args:
        network: on the meta device, without state that depends on the number of forward passes.
        shape: of the input, without the batch.
    """
    num_inputs = 2
    return counted_forward(network, shape, num_inputs).get_total_flops() // (2 * num_inputs)


def saved_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes that autograd keeps for each additional input; see :func:`macs` for the arguments.

    The difference between two batch sizes excludes what is kept only once: weights in bfloat16, statistics of norms.
    """

    def kept_for(num_inputs: int) -> int:
        kept: dict[int, Tensor] = {}

        def pack(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage()._cdata] = tensor  # views of one storage count once
            return tensor

        on_cpu = copy.deepcopy(network)
        # Unlike meta tensors, fake CPU tensors support autocast and fused attention.
        with FakeTensorMode(allow_non_fake_inputs=True), torch.autocast("cpu", dtype=torch.bfloat16):
            on_cpu.to_empty(device="cpu")
            own = {parameter.untyped_storage()._cdata for parameter in on_cpu.parameters()}
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                on_cpu(torch.empty(num_inputs, *shape))
        return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in own)

    return (kept_for(4) - kept_for(2)) // 2
