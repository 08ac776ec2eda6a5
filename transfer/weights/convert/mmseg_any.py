"""Any network for MMSegmentation, inside :class:`~transfer.weights.convert.mmseg_backbone.AnyBackbone`.

The file is for ``init_cfg`` of that backbone, not for one of MMSegmentation's own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.compat import prepare_mmseg
from transfer.weights.convert import mmseg
from transfer.weights.convert.any_network import any_target
from transfer.weights.convert.target import LAST_BLOCKS, Settings, Target

if TYPE_CHECKING:
    from torch import nn

    from transfer.weights.backbone import Preprocessing


@functools.cache
def mmseg_any_target(arch: str, *, last_blocks: bool = False) -> Target:
    """MMSegmentation as the target of this architecture, ours or timm's.

    Args:
        last_blocks: whether of plain ViTs the last four blocks are read, through the last norm, as linear probes do.
    """
    name = "mmseg-last" if last_blocks else "mmseg-any"
    return any_target(
        arch,
        last_blocks=last_blocks,
        name=name,
        suffix=f"{name}.pth",
        packages=(*mmseg.PACKAGES, "timm"),
        default_settings=functools.partial(settings, last_blocks=last_blocks),
        settings_of=settings_of,
        preprocessing_settings=mmseg.PREPROCESSING,
        write=mmseg.write,
        load=load,
    )


def settings(arch: str, preprocessing: Preprocessing, *, last_blocks: bool = False) -> Settings:
    """The backbone in MMSegmentation's terms, with the preprocessing that the weights expect."""
    return {"type": "AnyBackbone", "arch": arch, **_last(last_blocks), **mmseg.fed_by(preprocessing)}


def settings_of(model: Mapping[str, Any]) -> Settings:
    """What in ``model`` of an mmseg config changes the features."""
    backbone = model["backbone"]
    last = _last(backbone.get(LAST_BLOCKS, False))
    return {"type": backbone["type"], "arch": backbone.get("arch"), **last, **mmseg.fed_in(model)}


def _last(last_blocks: bool) -> Settings:
    return {LAST_BLOCKS: True} if last_blocks else {}


def load(path: Path, settings: Settings) -> nn.Module:
    """As :func:`transfer.weights.convert.mmseg.load`."""
    prepare_mmseg()
    from transfer.weights.convert.mmseg_backbone import register_backbone

    register_backbone()
    return mmseg.load(path, settings)
