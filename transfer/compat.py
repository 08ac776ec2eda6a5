"""Lets Detectron2 0.6 and MMSegmentation 1.2 run with current torch, NumPy and Pillow.

Call :func:`prepare_detectron2` or :func:`prepare_mmseg` before importing the framework. Where a line is not needed it
does nothing: with a compiled Detectron2 or a full mmcv, their own operators are used.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
import warnings
from typing import Any, NoReturn

from twist_common.places import install_extra

INSTALL_DETECTRON2 = "build Detectron2 from its official repository (docs/install.md)"
INSTALL_MMCV = "install full mmcv in place of mmcv-lite (docs/install.md)"
CHECKOUT = "or take a checkout of this repository and run tools/setup.sh"

# What has to be imported for a target of conversion or a task, and how it is installed; what else it needs here, which
# it does not bring, and how that is.
FRAMEWORKS = {
    "detectron2": (
        "Detectron2",
        "plain pip cannot install it: pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2"
        f" faster-coco-eval where there is a C++ compiler, {CHECKOUT}",
        ("faster_coco_eval",),
        "pip install faster-coco-eval",
    ),
    "mmseg": (
        "MMSegmentation",
        f"{install_extra('segmentation')}, {CHECKOUT}",
        ("mmcv", "mmengine", "ftfy", "regex"),
        install_extra("segmentation"),
    ),
}


class MissingCompiledOpError(RuntimeError):
    """An operator was called that only a compiled build of the framework has."""


class _StandIn(types.ModuleType):
    """Stands in for a compiled extension: any operator can be looked up, none can be called."""

    def __init__(self, name: str, remedy: str, known: dict[str, Any]) -> None:
        super().__init__(name)
        # mmengine looks for mmcv._ext with pkgutil, which reads the spec of a module that is already loaded.
        self.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
        self.__dict__.update(known)
        self._remedy = remedy

    def __getattr__(self, op: str) -> Any:
        if op.startswith("__"):
            raise AttributeError(op)
        name, remedy = self.__name__, self._remedy

        def missing(*args: Any, **kwargs: Any) -> NoReturn:
            raise MissingCompiledOpError(f"{name}.{op} is a compiled operator that this installation lacks: {remedy}")

        return missing


def _stand_in(package: str, extension: str, remedy: str, known: dict[str, Any]) -> None:
    name = f"{package}.{extension}"
    if name in sys.modules:
        return
    package_spec = importlib.util.find_spec(package)  # finds, does not import
    folders = package_spec.submodule_search_locations if package_spec else None
    if importlib.machinery.PathFinder.find_spec(extension, folders) is None:
        sys.modules[name] = _StandIn(name, remedy, known)


def missing_framework(target: str | None) -> str | None:
    """Why the framework of a conversion's target or a task cannot be used; None if it can, or none is needed."""
    module = (target or "").partition("-")[0]
    if module not in FRAMEWORKS:
        return None
    name, how, others, how_others = FRAMEWORKS[module]
    if importlib.util.find_spec(module) is None:
        return f"{name} is not installed: {how}"
    missing = ", ".join(each for each in others if importlib.util.find_spec(each) is None)
    return f"{missing} is not installed, which {name} needs here: {how_others}" if missing else None


def prepare_detectron2() -> None:
    """Makes ``import detectron2`` and its Pascal VOC and COCO code work here. Idempotent."""
    import numpy as np
    from PIL import Image

    # `default_setup` prints these three; everything else in _C is an operator that R-CNN with FPN does not use
    # (ROIAlign and NMS come from torchvision).
    known = {
        "get_compiler_version": lambda: "not compiled",
        "get_cuda_version": lambda: "not compiled",
        "has_cuda": lambda: False,
    }
    _stand_in("detectron2", "_C", INSTALL_DETECTRON2, known)
    if not hasattr(Image, "LINEAR"):  # Pillow 10 removed the alias; the default of Detectron2's ExtentTransform
        Image.LINEAR = Image.Resampling.BILINEAR  # type: ignore[attr-defined]
    for name, builtin in {"str": str, "int": int, "float": float, "object": object}.items():
        # NumPy 1.24 removed them; the VOC loader and the class histogram use them
        if name not in np.__dict__:
            setattr(np, name, builtin)
    # torch.meshgrid without indexing, torch.cuda.amp.autocast: they warn at every step, and there is nothing to act on
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(detectron2|fvcore)\.")
    warnings.filterwarnings("ignore", message="torch.meshgrid")
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.* is deprecated", category=FutureWarning)


def prepare_mmseg() -> None:
    """Makes ``import mmseg`` and resuming an mmengine Runner work here. Idempotent."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    _stand_in("mmcv", "_ext", INSTALL_MMCV, {})
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    # So that an mmengine checkpoint can be written and read with weights_only=True. A HistoryBuffer pickles its class's
    # methods, which can only be read back by allowing `getattr`: an open door. They need not be in the file.
    HistoryBuffer.__getstate__ = lambda buffer: {**buffer.__dict__, "statistics_methods": {}}
    # The message hub is HistoryBuffers of NumPy arrays and scalars. These are named; everything else stays refused.
    allowed: list[Any] = [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        np.array(0).__reduce__()[0],
        np.float64(0).__reduce__()[0],
    ]
    allowed += [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    torch.serialization.add_safe_globals(allowed)
