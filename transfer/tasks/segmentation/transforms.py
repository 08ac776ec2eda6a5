"""The one transform that MMSegmentation lacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

IGNORED = 255


class MergeForeground(BaseTransform):
    """Makes one class of all that is neither background (0) nor ignored (255)."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        mask = results["gt_seg_map"]
        results["gt_seg_map"] = np.where((mask == 0) | (mask == IGNORED), mask, np.ones_like(mask))
        return results


def register() -> None:
    """Makes the transform known to configs by its name. Idempotent."""
    TRANSFORMS.register_module(module=MergeForeground, force=True)
