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
from transfer.weights.convert.target import Settings, Target

if TYPE_CHECKING:
    from torch import nn

    from transfer.weights.backbone import Preprocessing


@functools.cache
def mmseg_any_target(arch: str) -> Target:
    """MMSegmentation as the target of this architecture, ours or timm's."""
    return any_target(
        arch,
        name="mmseg-any",
        suffix="mmseg-any.pth",
        packages=(*mmseg.PACKAGES, "timm"),
        default_settings=settings,
        settings_of=settings_of,
        preprocessing_settings=mmseg.PREPROCESSING,
        write=mmseg.write,
        load=load,
    )


def settings(arch: str, preprocessing: Preprocessing) -> Settings:
    """The backbone in MMSegmentation's terms, with the preprocessing that the weights expect."""
    return {"type": "AnyBackbone", "arch": arch, **mmseg.fed_by(preprocessing)}


def settings_of(model: Mapping[str, Any]) -> Settings:
    """What in ``model`` of an mmseg config changes the features."""
    return {"type": model["backbone"]["type"], "arch": model["backbone"].get("arch"), **mmseg.fed_in(model)}


def load(path: Path, settings: Settings) -> nn.Module:
    """As :func:`transfer.weights.convert.mmseg.load`."""
    prepare_mmseg()
    from transfer.weights.convert.mmseg_backbone import register_backbone

    register_backbone()
    return mmseg.load(path, settings)
