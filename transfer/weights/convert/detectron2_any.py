"""Any network for Detectron2, inside :class:`~transfer.weights.convert.detectron2_backbone.AnyBackbone`.

The file is Detectron2's pickle, as :mod:`transfer.weights.convert.detectron2` writes it for Detectron2's own ResNets.
Its keys have ``network.`` in front: without it the heuristic of DetectionCheckpointer would find ``conv1.weight`` in
heads too. What the proof shows is that the checkpointer put every tensor in its place, that what is left out of the
network changes no feature map, and that the config describes this network and this preprocessing.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_detectron2
from transfer.weights.backbone import architecture
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.backbone.types import Preprocessing
from transfer.weights.convert import detectron2
from transfer.weights.convert.any_network import any_target
from transfer.weights.convert.target import Settings, Target

if TYPE_CHECKING:
    from torch import nn


@functools.cache
def detectron2_any_target(arch: str) -> Target:
    """Detectron2 as the target of this architecture, ours or timm's."""
    spec, absent = architecture.get(arch), {}
    if isinstance(spec, TimmSpec) and not spec.any_size:
        absent[arch] = f"it takes images of {spec.image_size[0]}x{spec.image_size[1]} px only, detection any"
    return any_target(
        arch,
        name="detectron2-any",
        suffix="detectron2-any.pkl",
        packages=(*detectron2.PACKAGES, "timm"),
        absent=absent,
        default_settings=settings,
        settings_of=settings_of,
        preprocessing_settings=detectron2.PREPROCESSING,
        write=detectron2.write,
        load=load,
    )


def settings(arch: str, preprocessing: Preprocessing) -> Settings:
    """The network, with the preprocessing that the weights expect."""
    return {"arch": arch, **detectron2.fed_by(preprocessing)}


def settings_of(cfg: Any) -> Settings:
    """What in a Detectron2 config with ``MODEL.NETWORK`` changes the features of the network."""
    return {"arch": cfg.MODEL.NETWORK.ARCH, **detectron2.fed_in(cfg)}


def load(path: Path, settings: Settings) -> nn.Module:
    """The bare backbone of our detectors, loaded by Detectron2's DetectionCheckpointer, in eval mode.

    Raises:
        ConversionError: not every tensor was taken.
    """
    prepare_detectron2()
    from transfer.weights.convert.detectron2_backbone import AnyBackbone

    return detectron2.loaded(AnyBackbone(settings["arch"]), path)
