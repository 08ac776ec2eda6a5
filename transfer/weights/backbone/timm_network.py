"""What a network of timm is: its tensors, and the feature maps that a transfer uses. Read from timm itself."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transfer.timm_source import TIMM_PREFIX
from twist_common.errors import UserError

if TYPE_CHECKING:
    from torch import nn

PYRAMID_STRIDES = (4, 8, 16, 32)  # what FPN and the segmentation heads take
NUM_MAPS = 4
# Window attention that timm can run at any size, because its masks are computed for each image.
ANY_SIZE_SETTINGS = ({"dynamic_img_size": True}, {"strict_img_size": False})
VARIANT = re.compile(
    r"(?P<model>[\w.]+)(-patch(?P<patch>[1-9]\d?))?(-(?P<px>[1-9]\d{0,3})px)?(-(?P<heads>[1-9]\d?)heads)?(-eps(?P<eps>(0\.0\d*|\d(\.\d+)?e-\d\d)))?"
    r"(-lasteps(?P<last>(0\.0\d*|\d(\.\d+)?e-\d\d)))?"
)


@dataclass(frozen=True)
class TimmSpec:
    """A network of timm without its classifier.

    Attributes:
        name: timm's, with the tag of its pre-trained weights where one was given: a tag may set the image size; and
            with a :class:`Variant`'s parts.
        is_pyramid: four maps at strides 4 to 32; else the blocks of a plain ViT, four maps at one stride.
        stages: names of the four feature maps.
        indices: the maps' places in timm's ``feature_info``, which ``forward_intermediates`` takes.
        modules: the timm modules that the maps come out of.
        channels, strides: of the maps.
        image_size: height and width that the tensors are for.
        patch_size: height and width of a patch; None for networks that have none, or that pad by themselves.
        settings: arguments of ``timm.create_model`` that let it take images of other sizes.
        any_size: whether it takes other sizes.
        classifier: timm's modules of the classifier, whose tensors a checkpoint may have and the backbone does not.
    """

    name: str
    is_pyramid: bool
    stages: tuple[str, ...]
    indices: tuple[int, ...]
    modules: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    image_size: tuple[int, int]
    patch_size: tuple[int, int] | None
    num_prefix_tokens: int
    any_size: bool
    classifier: tuple[str, ...]
    settings: dict[str, bool] = field(hash=False)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """timm's keys in their order, each with its shape; no classifier."""
        return dict(shapes_of(self.name))


@dataclass(frozen=True)
class Variant:
    """A network of timm, and what its name here says beyond timm's: ``vit_base_patch16_224-256px-eps1e-12``, or
    ``vit_small_patch14_dinov2-patch16-224px``.

    Attributes:
        model: timm's name.
        image_size: that the position embedding is for.
        epsilon: of every layer norm.
        last_epsilon: of the norm of the pooled feature alone.
        patch_size: height and width of a patch.
        num_heads: of each attention.
    """

    model: str
    image_size: int | None = None
    epsilon: float | None = None
    last_epsilon: float | None = None
    patch_size: int | None = None
    num_heads: int | None = None

    @property
    def name(self) -> str:
        """The inverse of :func:`variant_of`."""
        sizes = (("patch{}", self.patch_size), ("{}px", self.image_size), ("{}heads", self.num_heads))
        parts = (*sizes, ("eps{!r}", self.epsilon), ("lasteps{!r}", self.last_epsilon))
        return "-".join((self.model, *(text.format(value) for text, value in parts if value is not None)))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of :func:`create_model`."""
        named = {
            "img_size": self.image_size,
            "norm_eps": self.epsilon,
            "last_norm_eps": self.last_epsilon,
            "patch_size": self.patch_size,
            "num_heads": self.num_heads,
        }
        return {name: value for name, value in named.items() if value is not None}


def variant_of(name: str) -> Variant:
    """What a name says, with or without ``timm:`` before it."""
    match = VARIANT.fullmatch(name.removeprefix(TIMM_PREFIX))
    if match is None:
        return Variant(name)  # of no network
    epsilon, last_epsilon = (float(text) if text else None for text in (match["eps"], match["last"]))
    side, patch, heads = (int(text) if text else None for text in (match["px"], match["patch"], match["heads"]))
    return Variant(match["model"], side, epsilon, last_epsilon, patch, heads)


def is_timm(name: str) -> bool:
    """Whether timm has a network of this name, with or without ``timm:`` before it and a variant's parts behind."""
    import timm

    base, _, tag = variant_of(name).model.partition(".")
    if not base or not timm.is_model(base):
        return False
    return not tag or f"{base}.{tag}" in timm.list_pretrained(f"{base}.*")


@functools.cache
def timm_spec(name: str) -> TimmSpec:
    """The network of this name, read off timm's own, which is built without memory for its tensors.

    Args:
        name: one that :func:`is_timm` holds for.

    Raises:
        UserError: it does not offer the feature maps that a transfer needs.
    """
    network: Any = _on_meta(name)
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "feature_info"):
        raise UserError(f"timm's {name} offers no feature maps: choose a network of timm that does")
    infos = [dict(info) for info in getattr(network.feature_info, "info", network.feature_info)]
    reductions = [int(info["reduction"]) for info in infos]
    indices = [max(i for i, r in enumerate(reductions) if r == s) for s in PYRAMID_STRIDES if s in reductions]
    is_pyramid = len(indices) == NUM_MAPS
    if not is_pyramid:
        if len(set(reductions)) != 1 or len(reductions) < NUM_MAPS:
            raise UserError(
                f"timm's {name} has feature maps at the strides {sorted(set(reductions))}: a transfer takes networks "
                f"with maps at 4, 8, 16 and 32, or plain ones of one stride"
            )
        indices = [round(quarter * len(infos) / NUM_MAPS) - 1 for quarter in (1, 2, 3, 4)]
    modules = tuple(str(infos[i]["module"]) for i in indices)
    if not set(modules) <= {module for module, _ in network.named_modules()}:  # HRNet's feature_info
        raise UserError(
            f"timm's {name} has no modules that its feature maps come out of, so no conversion of it can be proved: "
            f"choose another network"
        )
    config = network.pretrained_cfg
    settings = next((s for s in ANY_SIZE_SETTINGS if s.keys() <= _arguments(type(network))), {})
    classifier = config["classifier"]
    variant = variant_of(name)
    side = variant.image_size
    height, width = (side, side) if side else config["input_size"][1:]
    return TimmSpec(
        name=name,
        is_pyramid=is_pyramid,
        stages=tuple(f"stage{n}" for n in (1, 2, 3, 4)) if is_pyramid else tuple(f"block{i + 1}" for i in indices),
        indices=tuple(indices),
        modules=modules,
        channels=tuple(int(infos[i]["num_chs"]) for i in indices),
        strides=tuple(reductions[i] for i in indices),
        image_size=(int(height), int(width)),
        patch_size=None if is_pyramid else (reductions[0], reductions[0]),
        num_prefix_tokens=int(getattr(network, "num_prefix_tokens", 0)),
        any_size=bool(settings) or not config.get("fixed_input_size", False),
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier or ()),
        settings=dict(settings),
    )


def preprocessing_of(name: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and deviation of timm's weights of this name; without a tag, where those of every tag are the same."""
    import timm

    model = variant_of(name).model
    names = [model] if "." in model else timm.list_pretrained(f"{model}.*")
    configs = [timm.get_pretrained_cfg(each) for each in names]
    found = {(tuple(config.mean), tuple(config.std)) for config in configs if config is not None}
    return found.pop() if len(found) == 1 else None


def create(name: str, **settings: Any) -> nn.Module:
    """The network of this name with timm's initialisation, without classifier and without pre-trained weights."""
    variant = variant_of(name)
    return create_model(variant.model, **variant.settings, **settings)


def create_model(
    model: str, *, norm_eps: float | None = None, last_norm_eps: float | None = None, **settings: Any
) -> nn.Module:
    """timm's network without classifier and without pre-trained weights.

    Args:
        norm_eps, last_norm_eps: see :class:`Variant`; None leaves timm's.
    """
    import timm
    from torch import nn

    network: Any = timm.create_model(model, pretrained=False, num_classes=0, **settings)
    for module in network.modules():
        if norm_eps is not None and isinstance(module, nn.LayerNorm):
            module.eps = norm_eps
    if last_norm_eps is not None:
        network.head.norm.eps = last_norm_eps
    result: nn.Module = network
    return result


def _on_meta(name: str) -> nn.Module:
    import torch

    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return create(name)


@functools.cache
def timm_has_class_token(name: str) -> bool:
    """Whether one of the network's tokens stands for the whole image."""
    return getattr(_on_meta(name), "cls_token", None) is not None


@functools.cache
def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    """timm's keys in their order, each with its shape; no classifier."""
    return {key: tuple(tensor.shape) for key, tensor in _on_meta(name).state_dict().items()}


def _arguments(network: type) -> set[str]:
    """Names of the arguments of a class and of those that it is made from."""
    methods = [cls.__dict__["__init__"] for cls in network.__mro__ if "__init__" in cls.__dict__]
    return {name for method in methods for name in inspect.signature(method).parameters}
