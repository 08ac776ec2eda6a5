"""A whole training step of TWIST's ResNet-50 with multi-crop, on a batch that fits any machine."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn

from pretrain.distributed import Process
from pretrain.loss import textbook
from pretrain.model import TwistModel
from pretrain.model.build import build_model
from pretrain.recipe import NUM_GLOBAL_CROPS, Crops, Data, Model, Recipe, Schedule
from pretrain.run.optim import build_optimizer
from pretrain.run.step import TrainStep
from tools.bench.case import Case

LEARNING_RATE = 0.1


def small_batch_recipe(images: int) -> Recipe:
    """The paper's ResNet-50 with two global and twelve local crops, but for the batch."""
    return Recipe(
        name="bench",
        epochs=1,
        data=Data(dataset="imagenet", batch_size=images),
        model=Model(backbone="resnet50"),
        crops=Crops(num_local=12),
        schedule=Schedule(warmup_epochs=0),
    )


def cases() -> list[Case]:
    """The step against the textbook's, and against what its backbone alone costs."""
    recipe = small_batch_recipe(images=4)
    views = random_views(recipe)
    ours = OurStep(recipe, views)
    crops = recipe.crops
    size = (
        f"{recipe.model.backbone}, {recipe.data.batch_size} images, {NUM_GLOBAL_CROPS} x {crops.global_size} px and "
        f"{crops.num_local} x {crops.local_size} px, fp32"
    )
    plain = "views one by one, row-major, loss pair by pair, LARS parameter by parameter"
    only_backbone = "the same step over forward and backward of its backbone alone"
    return [
        Case("step", f"a training step, {size}; the textbook's: {plain}", "s", ours, PlainStep(recipe, views), 1.7),
        Case("step-overhead", f"{only_backbone}, {size}", "s", ours, BackbonePass(ours), 1.3, "overhead"),
    ]


def random_views(recipe: Recipe) -> list[Tensor]:
    """A batch of normalised views, each (B, 3, S, S)."""
    crops, images = recipe.crops, recipe.data.batch_size
    sizes = [crops.global_size] * NUM_GLOBAL_CROPS + [crops.local_size] * crops.num_local
    return [torch.randn(images, 3, size, size) for size in sizes]


class OurStep:
    """Forward, loss, backward and optimiser as the trainer does them, in fp32."""

    def __init__(self, recipe: Recipe, views: list[Tensor]) -> None:
        process = Process(views[0].device)
        self.model: TwistModel = build_model(recipe, process)
        self.views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        optimizer = build_optimizer(recipe.optim, self.model)
        self._step = TrainStep(recipe, self.model, None, optimizer, process, steps_per_epoch=1)

    def __call__(self) -> None:
        self._step([self.views], 0)


class BackbonePass:
    """Forward and backward of the step's backbone, crops of one size together: what no step can do without."""

    def __init__(self, step: OurStep) -> None:
        self._backbone = step.model.backbone
        sizes = dict.fromkeys(view.shape[-1] for view in step.views)
        self._batches = [torch.cat([view for view in step.views if view.shape[-1] == size]) for size in sizes]

    def __call__(self) -> None:
        self._backbone.zero_grad(set_to_none=True)
        torch.cat([self._backbone(batch) for batch in self._batches]).mean().backward()


class PlainStep:
    """The textbook's step."""

    def __init__(self, recipe: Recipe, views: list[Tensor]) -> None:
        optim = recipe.optim
        self.model = PlainTwist(recipe.model)
        self.views = views
        self._optimizer = textbook.TextbookLars(
            list(self.model.parameters()), LEARNING_RATE, optim.momentum, optim.weight_decay, optim.eta
        )

    def __call__(self) -> None:
        self._optimizer.zero_grad()
        textbook.multicrop_twist_loss(self.model(self.views), NUM_GLOBAL_CROPS).total.backward()
        self._optimizer.step()


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
        return logits.unflatten(0, (len(views), -1))
