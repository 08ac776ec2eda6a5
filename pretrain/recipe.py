"""A pre-training run as data. Every value that affects the result is here, and part of the recipe's hash."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from twist_common.files import sha256_text

NUM_GLOBAL_CROPS = 2  # the first two views of an image are the global ones
PATCH_SIZE = 16  # of ViTs, in pixels

Resampling = Literal["official", "timm"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images: an ImageFolder's ``train``, or WebDataset shards.

    Attributes:
        dataset: name of the folder below the data root that is used without ``--data``.
        batch_size: images per optimiser step, over all processes and accumulated parts.
        accumulation: number of parts in which the images of a step pass through the network, one after the other. The
            loss is still that of the whole batch; batch norms see one part at a time.
        cache: decode every image once and keep it in memory; all images must have the same size.
        unreadable: what to do about an image that cannot be read: stop, or skip it (another image of the same batch
            takes its place, and the run reports how many were skipped).
    """

    dataset: str
    batch_size: int
    accumulation: int = 1
    cache: bool = False
    unreadable: Literal["stop", "skip"] = "stop"


@dataclass(frozen=True, kw_only=True)
class Crops:
    """The views of an image: two global and ``num_local`` local crops.

    Attributes:
        global_size, local_size: side of the crops in pixels.
        num_local: number of local crops of each image; may be 0.
        global_scale, local_scale: smallest and largest share of the image's area. For digits it may exceed 1, because
            their black background continues outside the image.
    """

    global_size: int = 224
    global_scale: tuple[float, float] = (0.4, 1.0)
    num_local: int = 0
    local_size: int = 96
    local_scale: tuple[float, float] = (0.05, 0.4)

    @property
    def num_views(self) -> int:
        return NUM_GLOBAL_CROPS + self.num_local

    @property
    def view_sizes(self) -> list[int]:
        """Side of each view in pixels, global views first."""
        return [self.global_size] * NUM_GLOBAL_CROPS + [self.local_size] * self.num_local

    @property
    def view_scales(self) -> list[tuple[float, float]]:
        """Each view's smallest and largest share of the image's area, global views first."""
        return [self.global_scale] * NUM_GLOBAL_CROPS + [self.local_scale] * self.num_local

    @property
    def num_pixels(self) -> int:
        """Pixels of all views of an image."""
        return sum(size**2 for size in self.view_sizes)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How each crop is augmented.

    The ``natural`` kind is for photographs; it uses the fields from ``flip`` to ``solarize``, whose defaults are the
    paper's. The ``digits`` kind is for grey digits on black, which flipping would turn into other symbols; it uses
    ``rotation_degrees`` and ``intensity``.

    Attributes:
        kind: ``natural`` for photographs, ``digits`` for grey digits on black.
        flip: probability of a horizontal flip.
        jitter: probability of color jitter.
        gray: probability of conversion to grayscale.
        brightness, contrast, saturation, hue: strength of the color jitter, as torchvision defines it.
        blur, solarize: probabilities for the first global, the second global and the local crops.
        blur_sigma: smallest and largest standard deviation of the blur, in pixels of the crop.
        jitter_on: where color jitter, grayscale, blur and solarize are applied to photographs: in the data-loading
            processes or, with the same distribution, on the training device.
        rotation_degrees: largest rotation, in either direction; digits only.
        intensity: brightness is multiplied by a factor from 1 - intensity to 1 + intensity; digits only.
    """

    kind: Literal["natural", "digits"] = "natural"
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    gray: float = 0.2
    blur: tuple[float, float, float] = (1.0, 0.1, 0.5)
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize: tuple[float, float, float] = (0.0, 0.2, 0.0)
    jitter_on: Literal["loader", "device"] = "loader"
    rotation_degrees: float = 0.0
    intensity: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Model:
    """Backbone and head.

    Attributes:
        backbone: a key of ``pretrain.model.BACKBONES``.
        hidden: width of the head's hidden layers.
        num_classes: C, the number of classes that the head predicts.
        activation: of the head. ``gelu`` is what the official ViTs use; with it the weights of the head's linear layers
            are drawn from a truncated normal distribution.
        drop_path: largest rate of stochastic depth; ViTs only.
        position_resampling: how the position embedding, which is for 224 px, is resampled to other sizes such as those
            of local crops; see :class:`pretrain.model.vit.ViTBackbone`. ViTs only.
        nbs: batch norm before the softmax (NBS); table 7 of the paper shows what happens without it.
        bunch_size: number of images whose views share the statistics of NBS. Bunches are consecutive images of the
            batch, within one process or across several. None: the whole batch.
    """

    backbone: str
    hidden: int = 4096
    num_classes: int = 4096
    activation: Literal["relu", "gelu"] = "relu"
    drop_path: float = 0.0
    position_resampling: Resampling = "official"
    nbs: bool = True
    bunch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """The momentum encoder: a moving average of the network, whose predictions on the global views are the targets.

    Attributes:
        enabled: also set by ``--momentum-encoder`` and ``--no-momentum-encoder``.
        start, end: the momentum, which follows half a cosine from start to end: the share of itself that the average
            keeps in each step.
    """

    enabled: bool = False
    start: float = 0.996
    end: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SelfLabeling:
    """The second stage, for ResNets: confident predictions become labels for harder crops.

    Attributes:
        epochs: length of the stage, which follows the ``epochs`` of the first stage; 0: no such stage.
        global_scale, local_scale: scales of its crops, see ``crops``.
        keep: share of the batch that is labelled (the most confident images) at the start and at the end of the stage,
            with half a cosine in between.
        lr: peak learning rate of the stage, for a batch of 256.
        warmup_epochs: warm-up of the stage.
    """

    epochs: int = 0
    global_scale: tuple[float, float] = (0.14, 1.0)
    local_scale: tuple[float, float] = (0.05, 0.14)
    keep: tuple[float, float] = (0.5, 0.6)
    lr: float = 0.05
    warmup_epochs: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Loss:
    """TWIST's loss.

    Attributes:
        alpha: weight of sharpness; 1 + lam1 of the official code.
        beta: weight of diversity; lam2 of the official code.
        eps: added to probabilities inside logarithms.
    """

    alpha: float = 1.0
    beta: float = 1.0
    eps: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser; its default is the official one for ResNets.

    Attributes:
        name: LARS for ResNets, AdamW for ViTs.
        lr: peak learning rate for a batch of 256; scaled linearly with the batch.
        weight_decay: not applied to biases and norms.
        weight_decay_end: weight decay at the end of the first stage, reached along half a cosine; None: constant.
        momentum: of LARS.
        eta: trust coefficient of LARS.
        clip_norm: the norm to which the whole gradient is clipped; None: no clipping.
    """

    name: Literal["lars", "adamw"] = "lars"
    lr: float = 0.5
    weight_decay: float = 1.5e-6
    weight_decay_end: float | None = None
    momentum: float = 0.9
    eta: float = 0.001
    clip_norm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up, then cosine, by the step.

    Attributes:
        warmup_epochs: None is the official rule: 10, or 5 for runs of up to 50 epochs and 3 for up to 20.
        final_lr_ratio: share of the peak at which the cosine ends.
    """

    warmup_epochs: float | None = None
    final_lr_ratio: float = 0.001


@dataclass(frozen=True, kw_only=True)
class Run:
    """How the run is carried out. This should not affect the trained weights, so it is not part of the recipe's hash.

    Attributes:
        num_workers: data-loading processes for each training process.
        checkpoint_epochs: number of epochs between checkpoints; there is also one at the end of each stage.
        keep_epochs: every so many epochs, a checkpoint is kept permanently; None: only the last one is kept.
        log_steps: number of steps between lines of metrics.jsonl and points of the curves.
        on_collapse: what to do when signs of a collapse persist: warn, or also stop the run.
        track: also send the curves to Weights & Biases or MLflow (:mod:`pretrain.watch.trackers`).
        compile: torch.compile the network: on an H100, rn50 then trains at 1.36 times the images/s, after 80 seconds of
            compilation. It changes rounding, so when it is on it does count in the recipe's hash.
    """

    num_workers: int = 8
    checkpoint_epochs: int = 1
    keep_epochs: int | None = None
    log_steps: int = 50
    on_collapse: Literal["warn", "stop"] = "warn"
    track: Literal["none", "wandb", "mlflow"] = "none"
    compile: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A pre-training run, start to end.

    Attributes:
        seed: determines the initialisation, the order of the images and their augmentation.
        epochs: length of the first stage, the one with TWIST's loss; ``self_labeling.epochs`` follow it.
        precision: of the network's passes. Auto is bf16 autocast on GPUs (fp16 on GPUs without bf16) and fp32 on CPUs;
            the official code uses fp16 with a scaled loss. NBS and the loss are always in fp32.
    """

    name: str
    epochs: int
    data: Data
    model: Model
    seed: int = 0
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    crops: Crops = Crops()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    momentum_encoder: Momentum = Momentum()
    self_labeling: SelfLabeling = SelfLabeling()
    optim: Optim = Optim()
    schedule: Schedule = Schedule()
    run: Run = Run()

    @property
    def total_epochs(self) -> int:
        """Epochs of both stages."""
        return self.epochs + self.self_labeling.epochs


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dicts of plain values, for checkpoints and logs."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of all settings that determine the trained weights; of ``run`` only ``compile`` counts."""
    plain = as_dict(recipe)
    del plain["run"]
    if recipe.run.compile:
        plain["run"] = {"compile": True}
    return sha256_text(json.dumps(plain, sort_keys=True))
