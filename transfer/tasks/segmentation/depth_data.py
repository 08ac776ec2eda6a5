"""Images with depths as MMSegmentation reads them, and the changes of training images that it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset

from transfer.tasks.segmentation.depth_files import depth_pairs


class DepthListDataset(BaseSegDataset):
    """Images and depths by a list of :func:`transfer.tasks.segmentation.depth_files.depth_pairs`."""

    METAINFO: ClassVar[dict[str, Any]] = {"classes": ("depth",), "palette": [[0, 0, 0]]}  # one is asked for

    def load_data_list(self) -> list[dict[str, Any]]:
        """MMSegmentation's list of images with their depths."""
        root = Path(self.data_root)
        pairs = depth_pairs(root, str(Path(self.ann_file).relative_to(root)))
        return [
            {"img_path": str(image), "depth_map_path": str(depths), "reduce_zero_label": False, "seg_fields": []}
            for image, depths in pairs
        ]


class FixedCrop(BaseTransform):
    """Cuts image and annotations to rows and columns of the file: ``[first, behind the last]``."""

    def __init__(self, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        self._part = slice(*rows), slice(*columns)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        for name in ("img", *results["seg_fields"]):
            results[name] = results[name][self._part]
        results["img_shape"] = results["img"].shape[:2]
        return results


class GammaAndColour(BaseTransform):
    """Changes gamma, brightness and the brightness of each channel, each by a factor drawn from its range.

    As ``ColorAug`` in https://github.com/zhyever/Monocular-Depth-Estimation-Toolbox/blob/6f18fb8f1a198e8fd80ec87e88ab2da5d376f4ad/depth/datasets/pipelines/transforms.py
    the gamma is an exponent of values from 0 to 255, so that it changes the brightness too.
    """

    def __init__(
        self, *, prob: float, gamma: tuple[float, float], brightness: tuple[float, float], colour: tuple[float, float]
    ) -> None:
        self._prob, self._gamma, self._brightness, self._colour = prob, gamma, brightness, colour

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() < self._prob:
            gamma, brightness = np.random.uniform(*self._gamma), np.random.uniform(*self._brightness)
            factors = brightness * np.random.uniform(*self._colour, size=3)
            changed = results["img"].astype(np.float32) ** np.float32(gamma) * factors.astype(np.float32)
            results["img"] = np.clip(changed, 0, 255)
        return results
