"""The first step of a ViT against one written down from the official code, in double precision and without timm."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import twist_configs.pretrain
from pretrain.distributed import Process
from pretrain.loss.textbook import momentum_twist_loss
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.model.twist_model import TwistModel, build_model
from pretrain.model.vit import ViTBackbone, resample_officially
from pretrain.recipe import Recipe
from pretrain.run.optim import build_optimizer
from pretrain.run.step import TrainStep
from tests.backbones import NARROW_VIT, add_narrow_vit
from twist_common import overrides

CPU = Process(torch.device("cpu"))
HEADS, DEPTH, GRID, PATCH, IMAGES = 3, 4, 14, 16, 8
Weights = dict[str, Tensor]
# The batch norm after it takes a bias away again: its gradient is 0 and rounding, which AdamW divides by 1e-8.
WITHOUT_GRADIENT = ("head.mlp.0.bias", "head.mlp.3.bias", "head.mlp.6.bias")


@pytest.fixture(autouse=True)
def narrow_vit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    add_narrow_vit(monkeypatch)
    yield


def recipe(*changes: str) -> Recipe:
    small = ("model.hidden=16", "model.num_classes=8", "model.bunch_size=8", "data.batch_size=8", "crops.num_local=2")
    deit = twist_configs.pretrain.get("deit_s")
    return overrides.apply(deit, [f"model.backbone={NARROW_VIT}", *small, "schedule.warmup_epochs=0", *changes])


def built(settings: Recipe) -> TwistModel:
    return build_model(settings, CPU).double()


def crops(*sides: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(IMAGES, 3, side, side, generator=generator).double() for side in sides]


def cubic(distance: float) -> float:
    """Keys' kernel with a = -0.75, by its definition."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def sampling(number: int) -> Tensor:
    """(number, GRID): each sample as a sum of the grid's values, with samples GRID / (number + 0.1) apart."""
    matrix = np.zeros((number, GRID))
    for row in range(number):
        centre = (row + 0.5) * GRID / (number + 0.1) - 0.5
        for near in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[row, min(max(near, 0), GRID - 1)] += cubic(centre - near)
    return torch.from_numpy(matrix)


def class_token(w: Weights, images: Tensor) -> Tensor:
    """The official ViT's feature: (B, 3, H, W) to (B, D)."""
    side = images.shape[-1] // PATCH
    pixels = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2)
    kernel = w["backbone.patch_embed.proj.weight"].flatten(1)
    x = pixels @ kernel.T + w["backbone.patch_embed.proj.bias"]
    position = w["backbone.pos_embed"]
    if side != GRID:
        table = position[0, 1:].unflatten(0, (GRID, GRID))
        grid = torch.einsum("ri,cj,ijd->rcd", sampling(side), sampling(side), table)
        position = torch.cat([position[0, :1], grid.flatten(0, 1)])[None]
    x = torch.cat([w["backbone.cls_token"].expand(len(x), -1, -1), x], dim=1) + position
    for block in range(DEPTH):
        b = f"backbone.blocks.{block}"
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in linear(w, f"{b}.attn.qkv", normalized(w, f"{b}.norm1", x)).chunk(3, dim=2)
        )
        mixed = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v
        x = x + linear(w, f"{b}.attn.proj", mixed.transpose(1, 2).flatten(2))
        x = x + linear(w, f"{b}.mlp.fc2", gelu(linear(w, f"{b}.mlp.fc1", normalized(w, f"{b}.norm2", x))))
    return normalized(w, "backbone.norm", x)[:, 0]


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def normalized(w: Weights, name: str, x: Tensor) -> Tensor:
    """timm's and the official layer norm: eps = 1e-6."""
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    return centred / (variance + 1e-6).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def over_batch(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + 1e-5).sqrt()


def logits(w: Weights, views: list[Tensor]) -> Tensor:
    """(V, B, C)."""
    x = torch.cat([class_token(w, view) for view in views])
    for first in (0, 3):
        x = over_batch(linear(w, f"head.mlp.{first}", x))
        x = gelu(x * w[f"head.mlp.{first + 1}.weight"] + w[f"head.mlp.{first + 1}.bias"])
    return over_batch(linear(w, "head.mlp.6", x)).unflatten(0, (len(views), -1))


class Step(NamedTuple):
    """Loss, clipped gradients, next weights, and next weights of the momentum encoder."""

    loss: Tensor
    gradients: Weights
    weights: Weights
    averages: Weights


def official_step(settings: Recipe, weights: Weights, views: list[Tensor]) -> Step:
    taught = logits(weights, views[:2])  # the momentum encoder starts as a copy
    w = {name: value.clone().requires_grad_() for name, value in weights.items()}
    loss = momentum_twist_loss(logits(w, views), taught, alpha=settings.loss.alpha).total
    found = dict(zip(w, torch.autograd.grad(loss, list(w.values())), strict=True))
    norm = torch.stack([grad.square().sum() for grad in found.values()]).sum().sqrt()
    assert settings.optim.clip_norm is not None
    found = {name: grad * min(1.0, settings.optim.clip_norm / (norm.item() + 1e-6)) for name, grad in found.items()}
    lr, after = settings.optim.lr * IMAGES / 256, {}
    for name, grad in found.items():
        is_decayed = grad.ndim > 1 and not name.endswith(("pos_embed", "cls_token"))
        kept = weights[name] * (1 - lr * settings.optim.weight_decay) if is_decayed else weights[name]
        after[name] = kept - lr * grad / (grad.abs() + 1e-8)  # AdamW's first step
    share = settings.momentum_encoder.start
    teacher = {name: share * weights[name] + (1 - share) * value for name, value in after.items()}
    return Step(loss.detach(), found, after, teacher)


def our_step(settings: Recipe, model: TwistModel, views: list[Tensor]) -> Step:
    teacher = MomentumEncoder(model)
    optimizer = build_optimizer(settings.optim, model)
    step = TrainStep(settings, model, teacher, optimizer, CPU, steps_per_epoch=1)
    result = step([views], 0)
    found = {name: param.grad for name, param in model.named_parameters() if param.grad is not None}
    after, averaged = ({name: param.detach() for name, param in each.named_parameters()} for each in (model, teacher))
    return Step(result.loss.total.detach(), found, after, averaged)


def assert_same_step(got: Step, expected: Step) -> None:
    torch.testing.assert_close(got.loss, expected.loss, rtol=0, atol=1e-12)
    for kind, ours, theirs in zip(Step._fields[1:], got[1:], expected[1:], strict=True):
        assert ours.keys() == theirs.keys() and len(ours) > 50
        for name, value in theirs.items():
            if kind == "gradients" or name not in WITHOUT_GRADIENT:
                torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-12, msg=f"{kind}: {name}")


@pytest.mark.parametrize("sides", [(224, 224, 96, 96), (224, 224, 64, 64), (192, 192, 96, 96)])
def test_first_step_with_local_crops_is_the_official_one(sides: tuple[int, ...]) -> None:
    settings = recipe()
    model = built(settings)
    weights = {name: param.detach().clone() for name, param in model.named_parameters()}
    expected = official_step(settings, weights, crops(*sides))
    got = our_step(settings, model, crops(*sides))
    assert_same_step(got, expected)
    assert got.gradients["backbone.pos_embed"].abs().max() > 1e-3  # the gradient goes through the resampling


def test_whole_step_with_crops_of_224_px_is_the_official_one_whatever_the_resampling() -> None:
    views = crops(224, 224, 224)
    results = {}
    for rule in ("official", "timm"):
        settings = recipe(f"model.position_resampling={rule}")
        model = built(settings)
        weights = {name: param.detach().clone() for name, param in model.named_parameters()}
        expected, got = official_step(settings, weights, views), our_step(settings, model, views)
        assert_same_step(got, expected)
        results[rule] = got.loss
    assert torch.equal(results["official"], results["timm"])


def test_timms_rule_is_another_one_and_still_there_to_choose() -> None:
    images = crops(96)[0]
    features = {
        rule: built(recipe(f"model.position_resampling={rule}")).backbone(images) for rule in ("official", "timm")
    }
    difference = (features["official"] - features["timm"]).norm() / features["timm"].norm()
    assert 1e-3 < difference < 0.2


def test_resampled_embedding_is_torchs_plain_bicubic_for_grids_that_are_not_square() -> None:
    table = torch.randn(1, 1 + GRID**2, 5, generator=torch.Generator().manual_seed(0)).double()
    got = resample_officially(table, 4, 9)
    expected = torch.einsum("ri,cj,ijd->rcd", sampling(4), sampling(9), table[0, 1:].unflatten(0, (GRID, GRID)))
    torch.testing.assert_close(got[0, 1:], expected.flatten(0, 1), rtol=0, atol=1e-12)
    assert torch.equal(got[:, 0], table[:, 0]) and resample_officially(table, GRID, GRID) is table


def test_class_token_starts_as_a_truncated_normal_of_002() -> None:
    token = build_model(
        overrides.apply(twist_configs.pretrain.get("vit_b"), ["model.hidden=8"]), CPU
    ).backbone.cls_token
    assert isinstance(token, Tensor)
    assert token.std().item() == pytest.approx(0.02, rel=0.1)  # 4 standard errors of 768 numbers
    assert abs(token.mean().item()) < 0.003 and token.abs().max() > 0.04


def test_transfer_keeps_timms_rule() -> None:
    assert ViTBackbone(num_features=24, num_heads=2, depth=1).position_resampling == "timm"
