"""The synchronised batch norm of GPUs against torch's own, on two gloo processes in double precision.

torch has the kernels of both for GPUs only. Here they are written out for CPUs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.modules._functions import SyncBatchNorm as TorchsFunction

from pretrain.distributed import Process
from pretrain.model.even_sync_norm import EvenSyncBatchNorm
from pretrain.model.norms import sync_batch_norms

NUM_PROCESSES, NUM_CHANNELS = 2, 5
SHAPES = {"maps": (6, NUM_CHANNELS, 3, 4), "rows": (6, NUM_CHANNELS)}


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (like.dim() - 2))


def over_images(values: Tensor) -> Tensor:
    return values.sum([0, *range(2, values.dim())])


def stats(images: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    mean = over_images(images) * NUM_CHANNELS / images.numel()
    variance = over_images((images - per_channel(mean, images)) ** 2) * NUM_CHANNELS / images.numel()
    return mean, (variance + eps).rsqrt()


def gather(
    images: Tensor,
    means: Tensor,
    invstds: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:
    shares = (counts / counts.sum())[:, None]
    mean = (shares * means).sum(0)
    variance = (shares * (invstds**-2 - eps + (means - mean) ** 2)).sum(0)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * counts.sum() / (counts.sum() - 1), momentum)
    return mean, (variance + eps).rsqrt()


def normalize(images: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor, eps: float) -> Tensor:
    scaled = (images - per_channel(mean, images)) * per_channel(invstd * weight, images)
    return scaled + per_channel(bias, images)


def reduce(grad: Tensor, images: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor, *_: bool) -> tuple[Tensor, ...]:
    products = over_images(grad * (images - per_channel(mean, images)))
    return over_images(grad), products, products * invstd, over_images(grad)


def carry_back(
    grad: Tensor,
    images: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor,
    sums: Tensor,
    products: Tensor,
    counts: Tensor,
) -> Tensor:
    num = counts.sum()
    slope = (images - per_channel(mean, images)) * per_channel(invstd**2 * products / num, images)
    return (grad - per_channel(sums / num, images) - slope) * per_channel(invstd * weight, images)


KERNELS: dict[str, Callable[..., Any]] = {
    "batch_norm_stats": stats,
    "batch_norm_gather_stats_with_counts": gather,
    "batch_norm_elemt": normalize,
    "batch_norm_backward_reduce": reduce,
    "batch_norm_backward_elemt": carry_back,
}


class TorchsNorm(EvenSyncBatchNorm):
    """``nn.SyncBatchNorm`` but for its check that the device is a GPU."""

    def forward(self, input: Tensor) -> Tensor:
        self.num_batches_tracked.add_(1)
        return TorchsFunction.apply(
            input, self.weight, self.bias, self.running_mean, self.running_var, self.eps, self.momentum,
            dist.group.WORLD, NUM_PROCESSES,
        )  # fmt: skip


def norm(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    made = kind(NUM_CHANNELS).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def whole_batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Images, and the gradient of what comes out; channels last where there are four dimensions."""
    made = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 2
    images, grad = (each.contiguous(memory_format=torch.channels_last) if each.dim() == 4 else each for each in made)
    return images, grad


def two_passes(module: nn.Module, images: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Two, so that the running statistics have moved twice."""
    images = images.clone().requires_grad_()
    for _ in range(2):
        module.zero_grad()
        images.grad = None
        output = module(images)
        output.backward(grad)
    assert images.grad is not None
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in module.named_parameters()}
    return {"output": output.detach(), "gradient": images.grad, **gradients, **dict(module.named_buffers())}


def work(rank: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    library = torch.library.Library("aten", "IMPL")
    for name, kernel in KERNELS.items():
        library.impl(name, kernel, "CPU")
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=NUM_PROCESSES)
    found = {}
    for name, shape in SHAPES.items():
        share = [each.chunk(NUM_PROCESSES)[rank] for each in whole_batch(shape)]
        found[name] = {kind.__name__: two_passes(norm(kind), *share) for kind in (EvenSyncBatchNorm, TorchsNorm)}
    torch.save(found, f"{out}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(work, (port, str(out)), nprocs=NUM_PROCESSES, start_method="spawn")
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(NUM_PROCESSES)]


@pytest.mark.parametrize("shape", SHAPES)
def test_norm_without_masks_is_torchs(found: list[dict[str, Any]], shape: str) -> None:
    for result in found:
        ours, theirs = result[shape]["EvenSyncBatchNorm"], result[shape]["TorchsNorm"]
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("shape", SHAPES)
def test_norm_over_two_processes_is_that_of_one_with_the_whole_batch(found: list[dict[str, Any]], shape: str) -> None:
    kind = nn.BatchNorm2d if shape == "maps" else nn.BatchNorm1d
    whole = two_passes(norm(kind), *whole_batch(SHAPES[shape]))
    shares = [result[shape]["EvenSyncBatchNorm"] for result in found]
    for name, expected in whole.items():
        if name in ("output", "gradient"):
            ours = torch.cat([share[name] for share in shares])
        elif name.startswith("gradient"):
            ours = sum(share[name] for share in shares)
        else:
            ours = shares[0][name]
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12, msg=name)


def test_norms_of_gpus_keep_their_state_and_are_torchs_in_eval_mode() -> None:
    network = nn.Sequential(nn.BatchNorm2d(NUM_CHANNELS))
    nn.init.normal_(network[0].running_mean)
    plain = nn.BatchNorm2d(NUM_CHANNELS)
    plain.load_state_dict(network[0].state_dict())
    sync_batch_norms(network, Process(torch.device("cuda", 0), 0, 2))
    assert isinstance(network[0], EvenSyncBatchNorm)
    images, _ = whole_batch(SHAPES["maps"])
    assert torch.equal(network.eval()(images.float()), plain.eval()(images.float()))
