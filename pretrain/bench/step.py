"""A whole training step of TWIST's ResNet-50 with multi-crop, on a batch that fits any machine."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

from pretrain import textbook
from pretrain.bench.case import Case
from pretrain.distributed import Process
from pretrain.loss import multicrop_twist_loss
from pretrain.model import TwistModel
from pretrain.optim import build_optimizer
from pretrain.recipe import NUM_GLOBAL_CROPS, Crops, Data, Model, Optim, Recipe
from pretrain.trainer import build_model

LEARNING_RATE = 0.1


def small_batch_recipe(images: int) -> Recipe:
    """The paper's ResNet-50 with two global and twelve local crops, but for the batch."""
    return Recipe(
        name="bench",
        epochs=1,
        data=Data(dataset="imagenet", batch_size=images),
        model=Model(backbone="resnet50"),
        crops=Crops(num_local=12),
    )


def cases(recipe: Recipe | None = None) -> list[Case]:
    """The step against the textbook's, and against what the backbone alone costs.

    Args:
        recipe: the step's; its backbone has to be one of torchvision's ResNets.
    """
    recipe = recipe or small_batch_recipe(images=4)
    views = random_views(recipe)
    ours = our_step(recipe, views)
    images, crops = recipe.data.batch_size, recipe.crops
    size = f"{recipe.model.backbone}, {images} images, {NUM_GLOBAL_CROPS} x {crops.global_size} px"
    if crops.num_local:
        size += f" and {crops.num_local} x {crops.local_size} px"
    plain = "views one by one, row-major, loss pair by pair, LARS parameter by parameter"
    return [
        Case(
            "step", f"a training step, {size}, fp32; the textbook's: {plain}", "s", ours, plain_step(recipe, views), 1.7
        ),
        Case(
            "step-overhead",
            f"the same step over forward and backward of its backbone alone, {size}, fp32",
            "s",
            ours,
            backbone_pass(recipe, views),
            target=1.3,
            kind="overhead",
        ),
    ]


def random_views(recipe: Recipe) -> list[Tensor]:
    """A batch of normalised views, each (B, 3, S, S)."""
    crops, images = recipe.crops, recipe.data.batch_size
    sizes = [crops.global_size] * NUM_GLOBAL_CROPS + [crops.local_size] * crops.num_local
    return [torch.randn(images, 3, size, size) for size in sizes]


def _network(recipe: Recipe, views: list[Tensor]) -> tuple[TwistModel, list[Tensor]]:
    """The product's network, and the views as it takes them."""
    model = build_model(recipe, Process(views[0].device))
    return model, [view.contiguous(memory_format=torch.channels_last) for view in views]


def our_step(recipe: Recipe, views: list[Tensor]) -> Callable[[], None]:
    """Forward, loss, backward and LARS as the trainer does them."""
    model, views = _network(recipe, views)
    optimizer = build_optimizer(recipe.optim, model)
    for group in optimizer.param_groups:
        group["lr"] = LEARNING_RATE

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        multicrop_twist_loss(model(views), NUM_GLOBAL_CROPS).total.backward()
        optimizer.step()

    return step


def backbone_pass(recipe: Recipe, views: list[Tensor]) -> Callable[[], None]:
    """Forward and backward of the product's backbone, crops of one size together: what no step can do without."""
    model, views = _network(recipe, views)
    backbone = model.backbone
    batches = [
        torch.cat([view for view in views if view.shape[-1] == size]).contiguous(memory_format=torch.channels_last)
        for size in dict.fromkeys(view.shape[-1] for view in views)
    ]

    def step() -> None:
        backbone.zero_grad(set_to_none=True)
        torch.cat([backbone(batch) for batch in batches]).mean().backward()

    return step


class PlainTwist(nn.Module):
    """torchvision's ResNet and the head, module by module; each view goes through the backbone on its own."""

    def __init__(self, settings: Model) -> None:
        super().__init__()
        self.backbone = torchvision.models.get_model(settings.backbone)
        in_features = self.backbone.fc.in_features
        self.backbone.fc = nn.Identity()
        self.head = nn.Sequential(
            nn.Linear(in_features, settings.hidden),
            nn.BatchNorm1d(settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, settings.hidden),
            nn.BatchNorm1d(settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, settings.num_classes),
            nn.BatchNorm1d(settings.num_classes, affine=False),
        )

    def forward(self, views: list[Tensor]) -> Tensor:
        """V views (B, 3, S, S) to logits (V, B, C)."""
        features = torch.cat([self.backbone(view) for view in views])
        logits: Tensor = self.head(features)
        return logits.view(len(views), -1, logits.shape[-1])


def plain_step(recipe: Recipe, views: list[Tensor]) -> Callable[[], None]:
    """The textbook's step."""
    model = PlainTwist(recipe.model)
    settings = Optim()
    optimizer = textbook.TextbookLars(
        list(model.parameters()),
        LEARNING_RATE,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        eta=settings.eta,
    )

    def step() -> None:
        optimizer.zero_grad()
        textbook.multicrop_twist_loss(model(views), NUM_GLOBAL_CROPS).total.backward()
        optimizer.step()

    return step
