"""Accumulated parts give the gradients of the whole batch; two processes give the step of one."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from timm.layers import DropPath
from torch import Tensor, nn

import twist_configs.pretrain
from pretrain import schedule
from pretrain.distributed import Process
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.model.twist_model import TwistModel, build_model
from pretrain.recipe import Recipe
from pretrain.run.optim import build_optimizer
from pretrain.run.step import NonFiniteLossError, TrainStep
from twist_common import overrides

NUM_VIEWS, NUM_IMAGES, NUM_FEATURES, NUM_CLASSES = 4, 8, 5, 7
CPU = Process(torch.device("cpu"))


class PlainHead(nn.Module):
    """A head without batch norm: each image's logits are its own, in parts of a batch as in the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(9, NUM_CLASSES).double()
        self.drop = nn.Dropout(0.0)

    def forward(self, features: Tensor, num_views: int = 1) -> Tensor:
        return self.drop(self.layer(features))


def recipe(*changes: str) -> Recipe:
    return overrides.apply(twist_configs.pretrain.get("rn50"), ["data.batch_size=8", *changes])


def network(seed: int = 0) -> TwistModel:
    """Views (B, 5) to logits (V, B, 7), without batch norm."""
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Linear(NUM_FEATURES, 9), nn.Tanh()).double()
    return TwistModel(backbone, PlainHead())  # type: ignore[arg-type]


def views() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return list(torch.randn(NUM_VIEWS, NUM_IMAGES, NUM_FEATURES, generator=generator).double())


def parts(num: int, share: slice = slice(None)) -> list[list[Tensor]]:
    chunks = [view.chunk(num) for view in views()]
    return [[chunk[part][share] for chunk in chunks] for part in range(num)]


def train_step(settings: Recipe, model: TwistModel, teacher: Any = None, process: Process = CPU) -> TrainStep:
    """For epochs of one step: step 0 is in the first stage, which the recipe's ``epochs`` may make short."""
    optimizer = build_optimizer(settings.optim, model)
    return TrainStep(settings, model, teacher, optimizer, process, steps_per_epoch=1)


def gradients(num_parts: int, model: TwistModel, stage: str = "twist", teacher: Any = None) -> list[Tensor]:
    settings = recipe(f"data.accumulation={num_parts}", "epochs=1", "self_labeling.keep=0.5,0.5")
    train_step(settings, model, teacher)(parts(num_parts), 0 if stage == "twist" else 1)
    return [param.grad for param in model.parameters()]


@pytest.mark.parametrize("stage", ["twist", "self-labeling"])
@pytest.mark.parametrize("num_parts", [2, 4])
def test_accumulated_parts_give_the_gradient_of_the_whole_batch(num_parts: int, stage: str) -> None:
    expected = gradients(1, network(), stage)
    got = gradients(num_parts, network(), stage)
    assert max(grad.abs().max().item() for grad in expected) > 1e-3
    for ours, whole in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-10, atol=1e-14)


def test_accumulated_parts_meet_the_momentum_encoder_as_the_whole_batch_does() -> None:
    expected, got = (gradients(num, network(), teacher=MomentumEncoder(network(seed=5))) for num in (1, 2))
    for ours, whole in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-10, atol=1e-14)


def test_accumulated_parts_draw_the_same_dropout_in_both_passes() -> None:
    """The gradient of a linear layer before dropout is zero exactly where the drawn mask is."""
    masks: list[Tensor] = []
    model = network()
    model.head.drop.p = 0.5
    model.head.drop.register_forward_hook(lambda module, inputs, output: masks.append(output.detach() == 0))
    train_step(recipe("data.accumulation=2"), model)(parts(2), 3)
    assert len(masks) == 4 and 0.3 < masks[0].float().mean() < 0.7
    assert torch.equal(masks[0], masks[2]) and torch.equal(masks[1], masks[3])
    assert not torch.equal(masks[0], masks[1])


def test_a_compiled_network_draws_the_masks_that_it_draws_uncompiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accumulated parts go forward twice: first uncompiled, then compiled."""
    if not shutil.which("g++"):
        pytest.skip("no C++ compiler (g++), which torch.compile needs on CPUs")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    found = []
    for is_compiled in (False, True):
        model = network()
        model.backbone.append(DropPath(0.5))  # type: ignore[operator]
        model.head.drop.p = 0.5
        step = train_step(recipe("data.accumulation=2", f"run.compile={is_compiled}"), model)
        found.append([step(parts(2), 3).loss.total, *(param.grad for param in model.parameters())])
    for compiled, plain in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-10, atol=1e-14)


def test_accumulated_parts_count_once_in_running_statistics() -> None:
    settings = recipe(
        "data.accumulation=2", "model.backbone=resnet18", "model.hidden=8", "model.num_classes=4", "model.bunch_size=4"
    )
    model = build_model(settings, CPU)
    crops = [torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(index)) for index in range(2)]
    halves = [[crop.chunk(2)[part] for crop in crops] for part in range(2)]
    train_step(settings, model)(halves, 0)
    counts = {name: int(value) for name, value in model.named_buffers() if name.endswith("num_batches_tracked")}
    assert set(counts.values()) == {2} and "head.nbs.num_batches_tracked" in counts


def test_every_parameter_biases_too_trains_at_the_scheduled_rate() -> None:
    model = network()
    before = [param.detach().clone() for param in model.parameters()]
    step = train_step(recipe("schedule.warmup_epochs=0"), model)
    step(parts(1), 0)
    rate = schedule.learning_rate(step.recipe, 0, steps_per_epoch=1)
    assert rate > 0 and [group["lr"] for group in step.optimizer.param_groups] == [rate, rate]
    assert not any(torch.equal(param, old) for param, old in zip(model.parameters(), before, strict=True))


def test_loss_that_is_not_finite_leaves_no_gradient() -> None:
    model = network()
    with torch.no_grad():
        model.backbone[0].weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteLossError, match="the loss is nan"):
        train_step(recipe(), model)([views()], 0)
    assert all(param.grad is None for param in model.parameters())


# 3.2 for 256 images is a rate of 0.1 for these 8, from the first step on.
SMALL = (
    "model.backbone=resnet18", "model.hidden=8", "model.num_classes=4", "optim.lr=3.2", "schedule.warmup_epochs=0",
)  # fmt: skip
CASES = {
    "bunches within a process": (*SMALL, "model.bunch_size=2"),
    "a bunch over both processes": (*SMALL, "model.bunch_size=8"),
    "accumulated": (*SMALL, "model.bunch_size=2", "data.accumulation=2"),
}


def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, 3, size, size, generator=generator).double() for size in (48, 48, 32)]


def step_of(changes: tuple[str, ...], process: Process) -> dict[str, Any]:
    """Loss, gradients and next weights of one step on this process's share of :func:`images`, in double precision."""
    settings = recipe(*changes)
    model = build_model(settings, process).double()
    num_parts, rank = settings.data.accumulation, process.rank
    share = slice(rank * 8 // num_parts // process.world_size, (rank + 1) * 8 // num_parts // process.world_size)
    split = [[view.chunk(num_parts)[part][share] for view in images()] for part in range(num_parts)]
    result = train_step(settings, model, process=process)(split, 0)
    return {
        "loss": result.loss.total.detach(),
        "gradients": {name: param.grad for name, param in model.named_parameters()},
        "weights": {name: param.detach() for name, param in model.named_parameters()},
    }


def work(rank: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    process = Process(torch.device("cpu"), rank, 2)
    torch.save({name: step_of(changes, process) for name, changes in CASES.items()}, f"{out}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.set_forkserver_preload(["pretrain.run.trainer", "pytest"])
    torch.multiprocessing.start_processes(work, args=(port, str(out)), nprocs=2, start_method="forkserver")
    return [torch.load(Path(out) / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_step_of_one(case: str, both: list[dict[str, Any]]) -> None:
    alone = step_of(CASES[case], CPU)
    for result in (each[case] for each in both):
        torch.testing.assert_close(result["loss"], alone["loss"], rtol=1e-9, atol=1e-9)
        for kind in ("gradients", "weights"):
            for name, expected in alone[kind].items():
                torch.testing.assert_close(result[kind][name], expected, rtol=1e-6, atol=1e-9, msg=f"{kind} of {name}")
