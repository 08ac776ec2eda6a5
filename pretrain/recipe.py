"""A pre-training run as data. Every value that changes the result is in here, and in its hash."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from twist_common.files import sha256_text

NUM_GLOBAL_CROPS = 2  # TWIST's loss takes the first two views as the global ones

Resampling = Literal["official", "timm"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images: an ImageFolder's ``train``, or WebDataset shards.

    Attributes:
        dataset: name of the folder below the data root, where no ``--data`` is given.
        batch_size: images per step of the optimiser, over all processes and accumulated parts.
        accumulation: the number of parts in which a step's images go through the network, one after the other. The
            loss is that of the whole batch all the same; batch norms see one part at a time.
        cache: decode every image once and keep it in memory; needs images of one size.
        unreadable: what to do about an image that cannot be read: stop, or skip it (another image of the same batch
            takes its place, and the run says how many there were).
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
        num_local: local crops of each image; 0 for none.
        global_scale, local_scale: smallest and largest share of the image's area. For digits it may be over 1:
            their black ground continues outside of the image.
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
    """How each crop is changed.

    The ``natural`` kind is for photographs; it uses the fields from ``flip`` to ``solarize``, whose defaults are the
    paper's. The ``digits`` kind is for grey digits on black, which a flip would make into other signs; it uses
    ``rotation_degrees`` and ``intensity``.

    Attributes:
        kind: ``natural`` for photographs, ``digits`` for grey digits on black.
        flip, jitter, gray: probabilities of a mirrored crop, of color jitter, and of no color.
        brightness, contrast, saturation, hue: strength of the color jitter, as torchvision defines it.
        blur, solarize: probabilities for the first global, the second global and the local crops.
        blur_sigma: smallest and largest deviation of the blur, in pixels of the crop.
        jitter_on: where color jitter, gray and solarize of photographs are done: in the loading processes, or, in the
            same distribution, on the device that trains.
        rotation_degrees: largest rotation, either way.
        intensity: brightness is multiplied by 1 - intensity to 1 + intensity.
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
        num_classes: C, the size of the output.
        activation: of the head. ``gelu`` is the official ViTs', which also draw the head's linear layers from a
            truncated normal distribution.
        drop_path: largest rate of stochastic depth; ViTs only.
        position_resampling: how the position embedding of 224 px is brought to other sizes, such as the local crops';
            see :class:`pretrain.model.vit.ViTBackbone`. ViTs only.
        nbs: batch norm before the softmax. Table 7 of the paper is about leaving it out.
        bunch_size: images whose views share NBS's statistics. Bunches are consecutive images of the batch, within a
            process or over several. None takes the whole batch.
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
    """The momentum encoder: a moving average of the network, whose global views the student is to match.

    Attributes:
        enabled: ``--momentum-encoder`` and ``--no-momentum-encoder`` set it too.
        start, end: the share of itself that the average keeps in a step, from one to the other by half a cosine.
    """

    enabled: bool = False
    start: float = 0.996
    end: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SelfLabeling:
    """The second stage, for ResNets: confident predictions become labels for harder crops.

    Attributes:
        epochs: its length, after the ``epochs`` of the first stage; 0 leaves it out.
        global_scale, local_scale: of its crops.
        keep: share of the batch that is labelled, the most confident images, at the stage's start and end (half a
            cosine between them).
        lr, warmup_epochs: the stage's own peak learning rate for 256 images, and warm-up.
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
        eps: the logarithms' epsilon.
    """

    alpha: float = 1.0
    beta: float = 1.0
    eps: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser; its default is the official one for ResNets.

    Attributes:
        name: LARS for ResNets, AdamW for ViTs.
        lr: peak learning rate for 256 images; scaled linearly with the batch.
        weight_decay: not applied to biases and norms.
        weight_decay_end: the weight decay at the end of the first stage, by half a cosine; None keeps it constant.
        momentum, eta: LARS only.
        clip_norm: largest norm of the whole gradient; None does not clip it.
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
        warmup_epochs: None is the official choice: 10, or 5 / 3 for runs of up to 50 / 20 epochs.
        final_lr_ratio: the cosine ends at this share of the peak.
    """

    warmup_epochs: float | None = None
    final_lr_ratio: float = 0.001


@dataclass(frozen=True, kw_only=True)
class Run:
    """How the run is carried out. It is not meant to change the trained weights, so the recipe's hash skips it.

    Attributes:
        num_workers: data-loading processes for each training process.
        checkpoint_epochs: epochs from one checkpoint to the next; there is one at the end of each stage, too.
        keep_epochs: every this many epochs a checkpoint is kept beside the last one; None keeps the last alone.
        log_steps: steps from one line of metrics.jsonl, and point of the curves, to the next.
        on_collapse: what the sentinel does when the signs of a collapse last: say so, or stop the run too.
        track: curves go to Weights & Biases or MLflow too (:mod:`pretrain.watch.trackers`).
        compile: torch.compile the network: on an H100 rn50 does 1.36 times the images/s, after 80 seconds. It rounds in
            other places, so where it is on it is in the recipe's hash after all.
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
        seed: of the initialisation, the order of the images and their augmentation.
        epochs: of the first stage, the one with TWIST's loss; ``self_labeling.epochs`` come after it.
        precision: of the network's passes. Auto is bf16 autocast on GPUs (fp16 on those without bf16) and fp32 on CPUs;
            fp16, with a scaled loss, is the official one. NBS and the loss are in fp32 all the same.
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
    """Hash of everything that determines the trained weights: all but ``run``, of which ``compile`` alone counts."""
    plain = as_dict(recipe)
    del plain["run"]
    if recipe.run.compile:
        plain["run"] = {"compile": True}
    return sha256_text(json.dumps(plain, sort_keys=True))
