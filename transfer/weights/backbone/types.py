"""What a checkpoint layout is (:class:`Source`), and what every checkpoint becomes (:class:`Backbone`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from transfer.reading import CANNOT_SCALE, can_scale
from transfer.weights.backbone.naming import Naming
from twist_common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Checkpoint = Mapping[str, Any]


@dataclass(frozen=True)
class Preprocessing:
    """How images were fed to the network. ``mean`` and ``std`` are for pixels in 0 to 1, in ``colour_order``."""

    colour_order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def pixel_mean(self) -> list[float]:
        """For pixels in 0 to 255, with the digits that configs have: 123.675, not 123.67499999999998."""
        return [round(255 * value, 3) for value in self.mean]

    @property
    def pixel_std(self) -> list[float]:
        """As :attr:`pixel_mean`."""
        return [round(255 * value, 3) for value in self.std]


IMAGENET = Preprocessing("RGB", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
UNSCALED = Preprocessing("RGB", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # pixels in 0 to 1


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where one network of a checkpoint is.

    Attributes:
        entry: the entry that holds the state dict, with a slash before one within another; None where the checkpoint
            is the state dict.
        prefix: the beginning of its keys, which is removed.
        head_prefix: the beginning of the keys of a head that :class:`pretrain.model.head.ProjectionHead` can load.
        head_entry: the entry that holds this head.
        official_head_entry: the entry in which the official TWIST's head stands beside its backbone.
    """

    entry: str | None = None
    prefix: str = ""
    head_prefix: str | None = None
    head_entry: str | None = None
    official_head_entry: str | None = None

    def state_of(self, checkpoint: Checkpoint) -> Any:
        """The state dict, or whatever the checkpoint has in its place."""
        state: Any = checkpoint
        for name in self.entry.split("/") if self.entry is not None else ():
            state = state.get(name) if isinstance(state, Mapping) else None
        return state


@dataclass(frozen=True, kw_only=True)
class Source:
    """One layout.

    Attributes:
        name: what records and proofs call it; where several methods share a layout, it is the layout's.
        recognise: whether a checkpoint has this layout; no two rows may both say yes.
        student, teacher: the trained network; and its moving average or target network, where the layout has one.
        dropped: beginning of keys of the state dict that are not the backbone's, to the reason.
        naming: what the backbone's keys are called here, where it is not torchvision's (ResNets) or timm's (ViTs).
        values: what has to be done with the tensors beside, under our keys, with the file's name for messages.
        preprocessing: how the method feeds images; None where the layout serves networks that differ in it.
        preprocessing_entry: entry that holds the checkpoint's own ``mean`` and ``std``.
        head_config_entry: entry with the arguments of the head.
        archs: architectures that this layout only seems to hold, to those that it holds.
        ask_archs: architectures that ``--arch`` has to name, because no tensor distinguishes them from another, to
            the reason.
        says_arch: the architecture that the checkpoint's own settings name; None where they do not.
        default_network: the one that is taken unless ``--which`` says otherwise: the one that the authors evaluate.
        ask_preprocessing: why ``--mean`` and ``--std``, or a config beside the file, have to say how images were
            scaled, where ``preprocessing`` is None.
        config: what a ``config.json`` beside the file says that the network is: it is compared with what the tensors
            show, taken for it, or needed, because they do not show it.
        published_alone: whether a ``config.json`` beside the file may say another preprocessing than this row.
    """

    name: str
    recognise: Callable[[Checkpoint], bool]
    student: Network
    teacher: Network | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    naming: Naming | None = None
    values: Callable[[dict[str, Tensor], str], dict[str, Tensor]] | None = None
    preprocessing: Preprocessing | None = IMAGENET
    preprocessing_entry: str | None = None
    head_config_entry: str | None = None
    archs: dict[str, str] = field(default_factory=dict)
    ask_archs: dict[str, str] = field(default_factory=dict)
    says_arch: Callable[[Checkpoint], str | None] = lambda checkpoint: None
    default_network: Literal["student", "teacher"] = "student"
    ask_preprocessing: str = "it serves networks that differ in it"
    config: Literal["compared", "taken", "needed"] = "compared"
    published_alone: bool = False

    def our_name(self, key: str) -> str:
        """A key without its prefix, in our words; as it is where no row of the naming fits."""
        return self.naming.ours(key) if self.naming else key


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A backbone with its provenance.

    Attributes:
        arch: a key of :data:`transfer.weights.backbone.architecture.RESNETS` or ``VITS``.
        state_dict: torchvision's keys (ResNets) or timm's (ViTs) in their order, without classifier; float32 on
            the CPU, checked for completeness, shapes and finite values.
        source_format: name of the recognised row of :data:`transfer.weights.backbone.sources.SOURCES`, or ``"random"``.
        source: path of the checkpoint, or ``"random:<arch>:<seed>"``.
        sha256: of the checkpoint's bytes, or of the text ``source`` for a random one.
        which: ``"student"`` or ``"teacher"``.
        other: the one of the two that the source holds too and that was not taken; None where it holds no other.
        head, head_config: the projection head's state dict and the arguments that build it, where the source has
            one that :class:`pretrain.model.head.ProjectionHead` can load; else None.
        dropped: key of the source that is not part of the backbone, to the reason.
        filled: batch counters that the source lacked, or that its float16 could not hold, and that were set to 0.
    """

    arch: str
    state_dict: dict[str, Tensor]
    source_format: str
    source: str
    sha256: str
    which: str = "student"
    other: str | None = None
    preprocessing: Preprocessing = IMAGENET
    head: dict[str, Tensor] | None = None
    head_config: dict[str, Any] | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    filled: tuple[str, ...] = ()


def preprocessing_of(mean: Any, std: Any, where: object) -> Preprocessing:
    """Three means and three deviations, as a file holds them.

    Raises:
        UserError: they are something else, or no image can be scaled by them.
    """
    try:
        (m0, m1, m2), (s0, s1, s2) = (tuple(float(value) for value in values) for values in (mean, std))
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"{where}: its preprocessing is not three means and three deviations: {mean!r:.80}, {std!r:.80}"
        ) from None
    if not can_scale((m0, m1, m2), (s0, s1, s2)):
        raise UserError(f"{where}: its preprocessing is mean {mean!r:.80} and std {std!r:.80}: {CANNOT_SCALE}")
    return Preprocessing("RGB", mean=(m0, m1, m2), std=(s0, s1, s2))
