"""Precision: NBS and the loss stay in fp32, and fp16 scales its loss as the official code does."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import twist_configs.pretrain
from pretrain.distributed import Process
from pretrain.loss.self_labeling import self_labeling_loss
from pretrain.loss.twist import momentum_twist_loss, multicrop_twist_loss
from pretrain.model.head import ProjectionHead
from pretrain.model.norms import assign_bunches
from pretrain.model.twist_model import TwistModel
from pretrain.recipe import Recipe
from pretrain.run.optim import build_optimizer
from pretrain.run.precision import precision_of
from pretrain.run.step import StepResult, TrainStep
from pretrain.watch.monitor import NbsProbe
from twist_common import overrides

CPU = Process(torch.device("cpu"))
IMAGES, FEATURES = 8, 6


def recipe(*changes: str) -> Recipe:
    return overrides.apply(
        twist_configs.pretrain.get("rn50"), ["data.batch_size=8", "optim.lr=3.2", "schedule.warmup_epochs=0", *changes]
    )


def network() -> TwistModel:
    torch.manual_seed(0)
    backbone: Any = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh())
    return TwistModel(backbone, ProjectionHead(16, 16, 5))


def views() -> list[Tensor]:
    return list(torch.randn(2, IMAGES, FEATURES, generator=torch.Generator().manual_seed(1)))


def stepped(*changes: str) -> tuple[TrainStep, TwistModel, StepResult]:
    settings, model = recipe(*changes), network()
    step = TrainStep(settings, model, None, build_optimizer(settings.optim, model), CPU, steps_per_epoch=1)
    parts = [
        [view.chunk(settings.data.accumulation)[part] for view in views()] for part in range(settings.data.accumulation)
    ]
    return step, model, step(parts, 0)


@pytest.mark.parametrize("bunch_size", [None, 4, 8])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_nbs_and_the_losses_are_in_fp32_under_autocast(bunch_size: int | None, dtype: torch.dtype) -> None:
    head = network().head
    seen: list[torch.dtype] = []
    head.nbs.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].dtype))
    assign_bunches(head.nbs, bunch_size, IMAGES, CPU)  # type: ignore[arg-type]
    with torch.autocast("cpu", dtype=dtype):
        logits = head(torch.randn(2 * IMAGES, 16), 2).unflatten(0, (2, -1))
        losses = [
            multicrop_twist_loss(logits).total,
            momentum_twist_loss(logits, logits).total,
            self_labeling_loss(logits, 0.5).total,
        ]
    assert seen == [dtype] and logits.dtype == torch.float32
    assert {loss.dtype for loss in losses} == {torch.float32}
    assert head.nbs.running_mean is not None and head.nbs.running_mean.dtype == torch.float32


@pytest.mark.parametrize(
    ("wanted", "device", "got"),
    [("auto", "cuda", "bf16"), ("auto", "cpu", "fp32"), ("fp16", "cuda", "fp16"), ("fp32", "cuda", "fp32")],
)
def test_auto_is_bf16_on_gpus_alone(wanted: str, device: str, got: str) -> None:
    assert precision_of(recipe(f"precision={wanted}"), device) == got


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.02), ("bf16", 0.1)])
def test_gradients_of_a_scaled_loss_are_without_the_scale(precision: str, tolerance: float, parts: int) -> None:
    accumulated = f"data.accumulation={parts}"
    _, expected, exact = stepped("precision=fp32", accumulated)
    step, model, result = stepped(f"precision={precision}", accumulated)
    assert step.scaler.is_enabled() == (precision == "fp16")
    assert (exact.grad_scale, result.grad_scale) == (1.0, 65536.0 if precision == "fp16" else 1.0)
    ours, theirs = (
        torch.cat([param.grad.flatten() for param in each.parameters() if param.grad is not None])
        for each in (model, expected)
    )
    assert 0 < (ours - theirs).norm() <= tolerance * theirs.norm()


def test_a_step_with_an_infinite_gradient_in_fp16_is_left_out_and_the_scale_halved() -> None:
    settings, model = recipe("precision=fp16"), network()
    step = TrainStep(settings, model, None, build_optimizer(settings.optim, model), CPU, steps_per_epoch=1)
    model.head.mlp[0].weight.register_hook(lambda grad: grad * float("inf"))
    before = [param.detach().clone() for param in model.parameters()]
    step([views()], 0)
    assert all(torch.equal(param, old) for param, old in zip(model.parameters(), before, strict=True))
    assert step.scaler.get_scale() == 32768.0


def test_the_gradient_that_is_watched_is_without_the_scale() -> None:
    watched = {}
    for precision in ("fp32", "fp16"):
        settings, model = recipe(f"precision={precision}"), network()
        step = TrainStep(settings, model, None, build_optimizer(settings.optim, model), CPU, steps_per_epoch=1)
        probe = NbsProbe(model.head.nbs)
        probe.is_on = True
        watched[precision] = probe.read(step([views()], 0).grad_scale)["grad_before_nbs"]
    assert watched["fp16"] == pytest.approx(watched["fp32"], rel=0.05)
