"""Images and masks on their way to a GPU."""

from __future__ import annotations

from typing import Any

from mmengine.structures import BaseDataElement
from mmseg.models import SegDataPreProcessor
from torch import Tensor


class PinnedPreProcessor(SegDataPreProcessor):
    """MMSegmentation's preprocessing, for which the host does not wait.

    Images and masks are copied from pinned memory, and the channels turned without an index, which would be copied too.

    Args:
        bgr_to_rgb, settings: MMSegmentation's.
    """

    def __init__(self, *, bgr_to_rgb: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self._is_turned = bgr_to_rgb

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        data = self.cast_data(data)
        if self._is_turned:
            data = {**data, "inputs": [image.flip(0) if len(image) == 3 else image for image in data["inputs"]]}
        preprocessed: dict[str, Any] = super().forward(data, training)
        return preprocessed

    def cast_data(self, data: Any) -> Any:
        """What the loader gave, on the device."""
        if isinstance(data, BaseDataElement):
            moved = data.new()
            for key, value in data.items():
                moved.set_data({key: self.cast_data(value)})
            return moved
        if isinstance(data, Tensor) and data.is_cpu and self.device.type == "cuda":
            return data.pin_memory().to(self.device, non_blocking=True)
        return super().cast_data(data)
