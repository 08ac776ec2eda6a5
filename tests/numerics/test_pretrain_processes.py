"""Two gloo processes compute what one process computes on the same batch."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pretrain.distributed import GlooSyncBatchNorm, Process, gather, sync_batch_norms
from pretrain.loss import multicrop_twist_loss
from pretrain.model import ProjectionHead, TwistModel, build_backbone

NUM_PROCESSES, NUM_VIEWS, NUM_IMAGES = 2, 4, 6


class Classifier(nn.Module):
    """Views to logits, through a batch norm that is synchronised when there are several processes."""

    def __init__(self, is_synced: bool) -> None:
        super().__init__()
        norm = GlooSyncBatchNorm(7) if is_synced else nn.BatchNorm1d(7)
        self.layers = nn.Sequential(nn.Linear(5, 7), norm, nn.ReLU(), nn.Linear(7, 9)).double()

    def forward(self, views: Tensor) -> Tensor:
        return self.layers(views.flatten(0, 1)).unflatten(0, views.shape[:2])


def views() -> Tensor:
    return torch.randn(NUM_VIEWS, NUM_IMAGES, 5, generator=torch.Generator().manual_seed(1)).double()


def loss_and_gradients(model: nn.Module, batch: Tensor) -> dict[str, Any]:
    loss = multicrop_twist_loss(model(batch), alpha=0.4, beta=0.9)
    loss.total.backward()
    gradients = [param.grad for param in model.parameters()]
    return {"loss": torch.stack(loss).detach(), "gradients": gradients, "buffers": [*model.buffers()]}


def work(rank: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    limit = timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=NUM_PROCESSES, timeout=limit)
    collectives = []
    original = dist.all_reduce
    dist.all_reduce = lambda *args, **kwargs: (collectives.append("sum"), original(*args, **kwargs))[1]
    share = views().chunk(NUM_PROCESSES, dim=1)[rank]
    leaf = share.clone().requires_grad_()
    multicrop_twist_loss(leaf).total.backward()
    result: dict[str, Any] = {"num_collectives": len(collectives)}
    dist.all_reduce = original
    torch.manual_seed(0)
    result |= loss_and_gradients(DistributedDataParallel(Classifier(is_synced=True)), share)
    process = Process(torch.device("cpu"), rank, NUM_PROCESSES)
    result["gathered"] = gather(torch.tensor([rank, rank + 10]), process)
    twist = TwistModel(build_backbone("resnet18"), ProjectionHead(512, 8, 4))
    keys = list(twist.state_dict())
    sync_batch_norms(twist, process)
    assert list(twist.state_dict()) == keys
    result["synced"] = [name for name, part in twist.named_modules() if isinstance(part, GlooSyncBatchNorm)]
    torch.save(result, f"{out}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # One import of torch for both, and no fork of this process, whose autograd may have run.
    torch.multiprocessing.set_forkserver_preload(["pretrain.distributed", "pretrain.loss", "pytest"])
    torch.multiprocessing.start_processes(work, args=(port, str(out)), nprocs=NUM_PROCESSES, start_method="forkserver")
    return [torch.load(Path(out) / f"{rank}.pt", weights_only=True) for rank in range(NUM_PROCESSES)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    torch.manual_seed(0)
    return loss_and_gradients(Classifier(is_synced=False), views())


def test_loss_is_the_one_of_the_whole_batch_in_every_process(results: list[Any], alone: dict[str, Any]) -> None:
    for result in results:
        torch.testing.assert_close(result["loss"], alone["loss"], rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_the_whole_batch(results: list[Any], alone: dict[str, Any]) -> None:
    for result in results:
        for ours, expected in zip(result["gradients"], alone["gradients"], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_synchronised_running_statistics_are_those_of_the_whole_batch(
    results: list[Any], alone: dict[str, Any]
) -> None:
    for ours, expected in zip(results[1]["buffers"], alone["buffers"], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)


def test_loss_takes_one_collective_each_way(results: list[Any]) -> None:
    assert [result["num_collectives"] for result in results] == [2, 2]


def test_every_norm_but_nbs_is_synchronised(results: list[Any]) -> None:
    synced = results[0]["synced"]
    assert len(synced) == 20 + 2  # ResNet-18's, and the head's two
    assert "head.nbs" not in synced


def test_gather_keeps_the_order_of_processes(results: list[Any]) -> None:
    assert [result["gathered"].tolist() for result in results] == [[0, 10, 1, 11]] * 2
