"""From an image to the network's input: random views in training by SGD, its middle in the scoring."""

from __future__ import annotations

from torchvision.transforms import v2

from transfer.tasks.classification.sgd_protocols import Views
from transfer.tasks.classification.transforms import CenterCrop, Transform, center_crop, to_input
from transfer.weights.backbone import Preprocessing


def training_view(views: Views, preprocessing: Preprocessing) -> Transform:
    """RGB image to a random (3, size, size) view, normalised; draws from torch's global generator."""
    steps: list[v2.Transform]
    if views.augment == "crop and flip":
        steps = [
            v2.RandomResizedCrop(views.size, scale=(views.min_scale, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    else:
        steps = [v2.RandomCrop(views.size, padding=views.max_shift, padding_mode="edge")]
    return v2.Compose([*steps, *to_input(preprocessing)])


def scoring_view(views: Views, preprocessing: Preprocessing) -> Transform:
    """RGB image to its middle, (3, size, size), normalised."""
    return center_crop(CenterCrop(resize=views.resize, crop=views.size), preprocessing)
