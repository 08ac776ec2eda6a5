"""The protocols that train by SGD, as data: fine-tuning on a part of the labels, many linear heads, the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SMALL_SIDE = 64  # pixels; 50,000 images of it are 600 MB

Augment = Literal["crop and flip", "shift"]


@dataclass(frozen=True, kw_only=True)
class Views:
    """The images' part of a protocol.

    Attributes:
        augment: of training images. ``"crop and flip"``: a random part of ``min_scale`` to all of the area, its sides
            3:4 to 4:3, resized to ``size`` (bilinear, torchvision's default, which the official codes leave as it is),
            and flipped half of the time. ``"shift"``: moved by up to ``max_shift`` pixels on both axes; what comes in
            repeats the border.
        size: side of the input in pixels.
        resize: short side before the middle ``size`` × ``size`` is scored (bicubic); None: as it is.
        min_scale: for ``"crop and flip"``.
        max_shift: for ``"shift"``.
    """

    augment: Augment
    size: int
    resize: int | None
    min_scale: float = 0.08  # torchvision's default, as everywhere
    max_shift: int = 0

    @property
    def is_small(self) -> bool:
        """Whether images of this size are kept in memory rather than read in every epoch."""
        return self.size <= SMALL_SIDE


@dataclass(frozen=True, kw_only=True)
class FinetuneProtocol:
    """Backbone and a fresh linear head trained with SGD on a part of the labels; scored once, at the end.

    Attributes:
        labels_fraction: of the training images, by the list that the user gives, or as many of each class, drawn by the
            trial's seed; 1: all of them.
        epochs, batch_size: passes over the labelled images; each epoch's last, smaller batch is left out.
        lr_backbone, lr_head: at the end of the warm-up; both fall to 0 by a cosine.
        cosine: whether the learning rate falls after every step or after every epoch.
        warmup_steps: the learning rate rises linearly.
        momentum, nesterov, weight_decay: of SGD; no decay on vectors (norms and biases).
        norm_batch: images over which batch norm takes its statistics, however many processes share the batch; None: all
            of the batch. Running statistics are those of the first ``norm_batch`` images of each step, as they are of
            the first process in plain data-parallel training.
        head_std: deviation of the normal distribution that the head's weights are drawn from; 0 starts at zero.
        views: see :class:`Views`.
        test_batch_size: of the forward passes over the test images.
    """

    labels_fraction: float
    epochs: int
    batch_size: int
    lr_backbone: float
    lr_head: float
    cosine: Literal["step", "epoch"]
    warmup_steps: int
    momentum: float
    nesterov: bool
    weight_decay: float
    norm_batch: int | None
    head_std: float
    views: Views
    test_batch_size: int


@dataclass(frozen=True, kw_only=True)
class HeadSetting:
    """A linear head: its feature (:mod:`transfer.tasks.classification.frozen_features`) and its SGD."""

    feature: str
    lr: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class HeadsProtocol:
    """Linear heads trained with SGD on random views of all training images, the backbone frozen and in eval mode.

    One pass of the backbone feeds all heads. The official head sees every training image and gives the main figures.
    The candidates (every feature of the backbone × ``lrs`` × ``weight_decays``) leave out a few training images, by
    which one of them is chosen.

    Attributes:
        resnet, deit_small, vit_base: the official head of these backbones.
        lrs: of the candidates, at ``batch_size``.
        val_fraction: of each class's training images, on which a candidate is chosen; drawn by the trial's seed.
        epochs, batch_size: passes over the training images, with each epoch's last, smaller batch.
        momentum: of SGD; the learning rates fall by a cosine that is stepped once an epoch.
        head_std: deviation of the normal distribution that all heads' weights are drawn from.
        views: see :class:`Views`.
        test_batch_size: of the forward passes over held-out and test images.
    """

    resnet: HeadSetting
    deit_small: HeadSetting
    vit_base: HeadSetting
    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    val_fraction: float
    epochs: int
    batch_size: int
    momentum: float
    head_std: float
    views: Views
    test_batch_size: int


@dataclass(frozen=True, kw_only=True)
class GridProtocol:
    """Fine-tuning of the whole network, its learning rate and weight decay chosen on validation images.

    Each point of the grid is trained on the training images and scored on the validation images; the best one is
    trained again on both, and scored once on the test images.

    Attributes:
        lrs, weight_decays: the grid. A weight decay is divided by the learning rate before SGD, which multiplies it
            by the learning rate again, sees it.
        val_fraction: of each class, where a data set has no validation images of its own; None: as its row says.
        grid_steps: of the training of a point.
        steps: of the last training.
        batch_size: images a step; each epoch's last, smaller batch is left out.
        momentum: of SGD with Nesterov momentum; the learning rates fall to 0 by a cosine.
        head_std: deviation of the normal distribution that the head's weights are drawn from.
        views: see :class:`Views`.
        test_batch_size: of the forward passes over validation and test images.
    """

    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    val_fraction: float | None
    grid_steps: int
    steps: int
    batch_size: int
    momentum: float
    head_std: float
    views: Views
    test_batch_size: int
