"""Several gloo processes compute what one process computes on the same batch."""

import copy
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pretrain.distributed import Process, gather_over_processes
from pretrain.loss.self_labeling import self_labeling_loss
from pretrain.loss.twist import momentum_twist_loss, multicrop_twist_loss
from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.model.norms import (
    BunchNorm,
    GlooSyncBatchNorm,
    assign_bunches,
    average_running_statistics,
    sync_batch_norms,
)
from pretrain.model.twist_model import TwistModel
from pretrain.recipe import Optim
from pretrain.run.optim import build_optimizer

NUM_VIEWS, NUM_IMAGES = 4, 8
ALONE = Process(torch.device("cpu"))
OBJECTIVES = ("twist", "momentum", "self-labeling")
# Images of a bunch, by the number of processes: several bunches in each, one in each, one over several of them.
BUNCHES = {2: (2, 4, 8), 4: (4, 8)}
CASES = [(objective, "lars", bunch) for objective in OBJECTIVES for bunch in (2, 4, 8)] + [("twist", "adamw", 8)]


class Network(nn.Module):
    """Views (V, B, 5) to logits (V, B, 9) through a batch norm and, last, NBS."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 9))
        self.nbs = BunchNorm(9)

    def forward(self, views: Tensor) -> Tensor:
        return self.nbs(self.layers(views.flatten(0, 1)), len(views)).unflatten(0, views.shape[:2])


def views() -> Tensor:
    return torch.randn(NUM_VIEWS, NUM_IMAGES, 5, generator=torch.Generator().manual_seed(1)).double()


def build_network(bunch_size: int, process: Process) -> Network:
    torch.manual_seed(0)
    network = Network()
    sync_batch_norms(network, process)
    assign_bunches(network.nbs, bunch_size, NUM_IMAGES, process)
    return network.double()


def two_steps(objective: str, optimizer_name: Any, bunch_size: int, process: Process) -> dict[str, Any]:
    """Loss and gradients of the first step, weights and running statistics after the second."""
    network = build_network(bunch_size, process)
    teacher = copy.deepcopy(network)
    model: nn.Module = network
    if process.world_size > 1:
        model = DistributedDataParallel(network, forward_sync_buffers=False)
    optimizer = build_optimizer(Optim(name=optimizer_name, weight_decay=0.01), network)
    share = views().chunk(process.world_size, dim=1)[process.rank]
    result: dict[str, Any] = {}
    for _ in range(2):
        for group in optimizer.param_groups:
            group["lr"] = 0.1
        loss = objective_of(objective, model(share), teacher, share)
        optimizer.zero_grad()
        loss[0].backward()
        result.setdefault("loss", torch.stack(loss).detach())
        result.setdefault("gradients", [param.grad.clone() for param in network.parameters() if param.grad is not None])
        optimizer.step()
    average_running_statistics(network, process)
    return result | {"weights": [*network.parameters()], "buffers": [*network.buffers()]}


def objective_of(objective: str, logits: Tensor, teacher: Network, share: Tensor) -> Any:
    if objective == "self-labeling":
        return self_labeling_loss(logits, 0.5)
    if objective == "twist":
        return multicrop_twist_loss(logits, alpha=0.4, beta=0.9)
    with torch.no_grad():
        teacher_logits = teacher(share[:2])
    return momentum_twist_loss(logits, teacher_logits, alpha=0.4, beta=0.9)


@contextmanager
def counted_collectives() -> Iterator[list[str]]:
    calls: list[str] = []
    originals: dict[str, Callable[..., Any]] = {name: getattr(dist, name) for name in ("all_reduce", "all_gather")}
    for name, original in originals.items():
        setattr(dist, name, lambda *args, _n=name, _o=original, **kwargs: (calls.append(_n), _o(*args, **kwargs))[1])
    try:
        yield calls
    finally:
        for name, original in originals.items():
            setattr(dist, name, original)


def collectives_of(objective: str, share: Tensor) -> list[str]:
    """Those of the loss alone, forward and backward."""
    logits = torch.randn(NUM_VIEWS, share.shape[1], 9, requires_grad=True)
    with counted_collectives() as calls:
        loss: Any
        if objective == "self-labeling":
            loss = self_labeling_loss(logits, 0.5)
        elif objective == "twist":
            loss = multicrop_twist_loss(logits)
        else:
            loss = momentum_twist_loss(logits, logits[:2].detach())
        loss.total.backward()
    return calls


def work(rank: int, num_processes: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    limit = timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=num_processes, timeout=limit)
    process = Process(torch.device("cpu"), rank, num_processes)
    cases = [case for case in CASES if case[-1] in BUNCHES[num_processes]]
    result: dict[str, Any] = {"cases": {case: two_steps(*case, process) for case in cases}}
    share = views().chunk(num_processes, dim=1)[rank]
    result["collectives"] = {objective: collectives_of(objective, share) for objective in OBJECTIVES}
    result["gathered"] = gather_over_processes(torch.tensor([rank, rank + 10]))
    result["synced"] = synced_norms(process)
    torch.save(result, f"{out}/{rank}.pt")
    dist.destroy_process_group()


def synced_norms(process: Process) -> list[str]:
    twist = TwistModel(build_backbone("resnet18"), ProjectionHead(512, 8, 4))
    keys = list(twist.state_dict())
    sync_batch_norms(twist, process)
    assert list(twist.state_dict()) == keys
    return [name for name, part in twist.named_modules() if isinstance(part, GlooSyncBatchNorm)]


def run(num_processes: int, out: Path) -> list[dict[str, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # One import of torch for all, and no fork of this process, whose autograd may have run.
    modules = ("distributed", "loss.twist", "loss.self_labeling", "model", "run.optim")
    torch.multiprocessing.set_forkserver_preload([*(f"pretrain.{name}" for name in modules), "pytest"])
    torch.multiprocessing.start_processes(
        work, args=(num_processes, port, str(out)), nprocs=num_processes, start_method="forkserver"
    )
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(num_processes)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    return {count: run(count, tmp_path_factory.mktemp(f"{count}-processes")) for count in BUNCHES}


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, str, int], dict[str, Any]]:
    return {case: two_steps(*case, ALONE) for case in CASES}


GRID = [(count, case) for count, bunches in BUNCHES.items() for case in CASES if case[-1] in bunches]


@pytest.mark.parametrize("what", ["loss", "gradients", "weights", "buffers"])
@pytest.mark.parametrize(("num_processes", "case"), GRID, ids=str)
def test_processes_compute_what_one_computes_on_the_whole_batch(
    num_processes: int, case: tuple[str, str, int], what: str, results: dict[int, list[Any]], alone: dict[Any, Any]
) -> None:
    expected = alone[case][what]
    # In double precision, so that nothing but the order of sums may differ. AdamW divides by |gradient| + 1e-8, which
    # makes steps of the rounding in the gradients of biases before a batch norm, whose own is 0.
    atol = 1e-8 if case[1] == "adamw" and what in ("weights", "buffers") else 1e-11
    for result in results[num_processes]:
        torch.testing.assert_close(result["cases"][case][what], expected, rtol=1e-9, atol=atol)


def test_bunches_make_a_difference(alone: dict[Any, Any]) -> None:
    losses = [alone["twist", "lars", bunch]["loss"][0].item() for bunch in (2, 4, 8)]
    assert len({round(loss, 6) for loss in losses}) == 3


def test_loss_takes_few_collectives_forward_and_backward_together(results: dict[int, list[Any]]) -> None:
    for result in [*results[2], *results[4]]:
        assert result["collectives"] == {
            "twist": ["all_reduce"],
            "momentum": ["all_reduce"],
            "self-labeling": ["all_gather", "all_reduce"],
        }


def test_every_norm_but_nbs_is_synchronised(results: dict[int, list[Any]]) -> None:
    synced = results[2][0]["synced"]
    assert len(synced) == 20 + 2  # ResNet-18's, and the head's two
    assert "head.nbs" not in synced


def test_gather_keeps_the_order_of_processes(results: dict[int, list[Any]]) -> None:
    assert [result["gathered"].tolist() for result in results[2]] == [[0, 10, 1, 11]] * 2
