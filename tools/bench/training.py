"""Pre-training of TWIST's ResNet-50 with multi-crop: the loss, a step of LARS, a whole step."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

from pretrain.distributed import Process
from pretrain.loss import textbook
from pretrain.loss.twist import multicrop_twist_loss
from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.model.twist_model import TwistModel, build_model
from pretrain.recipe import NUM_GLOBAL_CROPS, Crops, Data, Model, Optim, Recipe, Schedule
from pretrain.run.optim import build_optimizer
from pretrain.run.step import TrainStep
from tools.bench.case import Args, Case

# Views and classes of the paper's ResNet-50; as many images as a bunch has, twice a GPU's share there.
VIEWS, IMAGES, CLASSES = 14, 256, 4096
LEARNING_RATE = 0.1


def loss_cases(args: Args) -> list[Case]:
    """Loss and gradient of logits of deviation 1, which is NBS's: their time, and the memory that they need."""
    logits = torch.randn(VIEWS, IMAGES, CLASSES, requires_grad=True)

    def with_gradient(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def call() -> None:
            loss().backward()
            logits.grad = None  # a call leaves nothing behind for the next one

        return call

    ours, plain = map(with_gradient, losses(logits))
    size = f"{IMAGES} images, {CLASSES} classes, {VIEWS} views, {logits.dtype}"
    return [
        Case("loss", f"loss and its gradient, {size}", "s", ours, plain, target=10),
        Case("loss-memory", f"peak memory of loss and gradient, the gradient included, {size}", "MiB", ours, plain, 6),
    ]


def losses(logits_VBC: Tensor) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:  # noqa: N803
    """The product's loss of the logits, and the textbook's."""
    return (
        lambda: multicrop_twist_loss(logits_VBC, NUM_GLOBAL_CROPS).total,
        lambda: textbook.multicrop_twist_loss(logits_VBC, NUM_GLOBAL_CROPS).total,
    )


def lars_cases(args: Args) -> list[Case]:
    """Both optimisers step networks of their own, whose gradients stay as they are."""
    ours, plain = (build_backbone("resnet50") for _ in range(2))
    for param in (*ours.parameters(), *plain.parameters()):
        param.grad = 1e-3 * torch.randn_like(param)
    our_lars = build_optimizer(Optim(), ours)
    for group in our_lars.param_groups:
        group["lr"] = LEARNING_RATE
    what = f"a step of LARS over the {len(list(ours.parameters()))} parameters of resnet50, fp32"
    return [Case("lars", what, "s", our_lars.step, plain_lars(plain, Optim()).step, target=2)]


def plain_lars(model: nn.Module, optim: Optim) -> textbook.TextbookLars:
    params = list(model.parameters())
    return textbook.TextbookLars(params, LEARNING_RATE, optim.momentum, optim.weight_decay, optim.eta)


def step_cases(args: Args) -> list[Case]:
    """The step against the textbook's, and against what its backbone alone costs, on a batch that fits any machine."""
    crops, data = Crops(num_local=12), Data(dataset="imagenet", batch_size=4)
    schedule = Schedule(warmup_epochs=0)
    recipe = Recipe(name="bench", epochs=1, data=data, model=Model(backbone="resnet50"), crops=crops, schedule=schedule)
    views = random_views(recipe)
    ours = OurStep(recipe, views)
    batches = [torch.cat([view for view in ours.views if view.shape[-1] == size]) for size in set(crops.view_sizes)]

    def backbone_alone() -> None:
        """Forward and backward, crops of one size together: what no step can do without."""
        ours.model.backbone.zero_grad(set_to_none=True)
        torch.cat([ours.model.backbone(batch) for batch in batches]).mean().backward()

    size = (
        f"{recipe.model.backbone}, {data.batch_size} images, {NUM_GLOBAL_CROPS} x {crops.global_size} px and "
        f"{crops.num_local} x {crops.local_size} px, fp32"
    )
    plain = "views one by one, row-major, loss pair by pair, LARS parameter by parameter"
    only_backbone = "the same step over forward and backward of its backbone alone"
    return [
        Case("step", f"a training step, {size}; the textbook's: {plain}", "s", ours, PlainStep(recipe, views), 1.7),
        Case("step-overhead", f"{only_backbone}, {size}", "s", ours, backbone_alone, 1.3, "overhead"),
    ]


def random_views(recipe: Recipe) -> list[Tensor]:
    """A batch of normalised views, each (B, 3, S, S)."""
    return [torch.randn(recipe.data.batch_size, 3, size, size) for size in recipe.crops.view_sizes]


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


class PlainStep:
    """The textbook's step."""

    def __init__(self, recipe: Recipe, views: list[Tensor]) -> None:
        self.model = PlainTwist(recipe.model)
        self.views = views
        self._optimizer = plain_lars(self.model, recipe.optim)

    def __call__(self) -> None:
        self._optimizer.zero_grad()
        textbook.multicrop_twist_loss(self.model(self.views), NUM_GLOBAL_CROPS).total.backward()
        self._optimizer.step()


class PlainTwist(nn.Module):
    """torchvision's ResNet and the head; each view goes through the backbone on its own."""

    def __init__(self, settings: Model) -> None:
        super().__init__()
        self.backbone = torchvision.models.get_model(settings.backbone)
        in_features = self.backbone.fc.in_features
        self.backbone.fc = nn.Identity()
        self.head = ProjectionHead(in_features, settings.hidden, settings.num_classes)

    def forward(self, views: list[Tensor]) -> Tensor:
        """V views (B, 3, S, S) to logits (V, B, C)."""
        features = torch.cat([self.backbone(view) for view in views])
        logits: Tensor = self.head(features)
        return logits.unflatten(0, (len(views), -1))
