"""What a trial computes, in numbers that its time scales with; each task describes its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TRAINING = "training"  # the phase that ``Task.shortened`` cuts


@dataclass(frozen=True)
class Flop:
    """Floating-point operations for one image; a multiplication and its addition are two.

    Attributes:
        convolutions: computed in TF32 by GPUs that have it, torch's default.
        products: matrix products, computed in single precision, torch's default.
    """

    convolutions: float
    products: float

    @property
    def total(self) -> float:
        return self.convolutions + self.products

    def __add__(self, other: Flop) -> Flop:
        return Flop(self.convolutions + other.convolutions, self.products + other.products)


@dataclass(frozen=True, kw_only=True)
class NetworkPass:
    """One image's way through the network of a protocol that takes any; :mod:`transfer.planner.flop` counts it.

    Attributes:
        height, width: of the image.
        times: forward passes that it costs: 3 with the backward pass.
        rest: pyramid and heads, forward, or forward and backward.
    """

    arch: str
    height: int
    width: int
    times: int
    rest: Flop = Flop(0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """What a protocol's whole model costs, heads included.

    Attributes:
        train: an image of a training step, forward and backward.
        test: a test image.
        num_parameters, num_trained: all parameters, and those that are not frozen.
    """

    train: Flop
    test: Flop
    num_parameters: int
    num_trained: int

    def checkpoint_bytes(self, *, adam: bool) -> int:
        """A state to resume from: parameters, and for those that are trained one more value (SGD) or two (Adam)."""
        return 4 * self.num_parameters + 4 * self.num_trained * (2 if adam else 1)


@dataclass(frozen=True)
class BackbonePass:
    """One image's forward pass through a backbone alone; :mod:`transfer.planner.flop` counts it."""

    arch: str
    image_size: int


@dataclass(frozen=True, kw_only=True)
class NetworkMemory:
    """What an image takes in a network, in single precision; :mod:`transfer.tasks.network_cost` counts it.

    Attributes:
        trains: what is kept for the backward pass; otherwise the most that a forward pass holds at a time.
        times: what is counted is multiplied by this, for what exists for a moment only.
    """

    arch: str
    height: int
    width: int
    trains: bool = True
    times: float = 1.0


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """What a step of the training asks of GPUs; without training, what a pass over images does.

    Attributes:
        batch_size: images of a step, over all GPUs of a trial.
        image_bytes: what one of them takes, without ``network``.
        network: what it takes there.
        fixed_bytes: on each GPU, for however many images.
        has_batch_norm: whether a layer normalises by the statistics of the batch in training.
        parts: in which a step is computed by the protocol, whatever the memory; batch norm sees one of them.
        is_divisible: whether a GPU's share of the batch is divided where there is no room for it.
    """

    batch_size: int
    image_bytes: int = 0
    network: NetworkMemory | None = None
    fixed_bytes: int = 0
    has_batch_norm: bool = False
    parts: int = 1
    is_divisible: bool = False


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of a trial.

    Attributes:
        what: its name in the trial's progress.
        num_images: those that pass through the network.
        trains: whether there is a backward pass.
        cost: of one image; a :class:`BackbonePass` is the forward pass alone. None: nobody counted it.
        steps: as the trial's progress counts them, if not by images.
        reported: whether the trial's progress mentions it.
    """

    what: str
    num_images: int
    trains: bool
    cost: Flop | BackbonePass | NetworkPass | None = None
    steps: int | None = None
    reported: bool = True

    @property
    def num_steps(self) -> int:
        return self.num_images if self.steps is None else self.steps


@dataclass(frozen=True, kw_only=True)
class Work:
    """Everything in a trial that takes time in proportion to something.

    Attributes:
        arch: of the backbone; None: unknown.
        phases: in order; none: nobody described this protocol.
        variant: settings that change what one image costs: works of different variants are not compared.
        uncounted: what takes time and is in no phase, or is unknown.
        image_size: side of the square images that the backbone sees; None where others see to it that they suit it.
        notes: for the task's own ``shortened``.
        disk: what the trial will write, by name, in bytes, as far as it can be foreseen.
        shared_disk: the same, once for all trials from the same weights; each seed of random weights counts as one.
        memory: None: unknown.
    """

    arch: str | None
    phases: tuple[Phase, ...]
    variant: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    image_size: int | None = None
    notes: tuple[str, ...] = ()
    disk: dict[str, int] = field(default_factory=dict)
    shared_disk: dict[str, int] = field(default_factory=dict)
    memory: StepMemory | None = None


def variant(changes: Sequence[str], prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """The changes of a trial whose settings have one of these prefixes, as sorted ``"KEY=value"``.

    Args:
        changes: ``"KEY=value"`` as users give it, or ``"KEY: protocol value -> value"`` as records have it.
    """
    found = []
    for change in changes:
        key, colon, values = change.partition(": ")
        plain = f"{key}={values.rpartition(' -> ')[2]}" if colon else change
        if plain.startswith(prefixes):
            found.append(plain)
    return tuple(sorted(found))
