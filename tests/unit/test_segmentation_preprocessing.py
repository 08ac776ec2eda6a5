"""Preprocessing for GPUs, whose results are MMSegmentation's."""

import pytest
import torch

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries

from mmengine.structures import PixelData  # isort: skip
from mmseg.models import SegDataPreProcessor  # isort: skip
from mmseg.structures import SegDataSample  # isort: skip
from transfer.tasks.segmentation.preprocessing import PinnedPreProcessor  # isort: skip


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("bgr_to_rgb", [True, False])
def test_images_and_masks_are_those_of_mmsegmentation(is_training: bool, bgr_to_rgb: bool) -> None:
    torch.manual_seed(0)
    images = [torch.randint(0, 256, (3, 6, 8), dtype=torch.uint8) for _ in range(2)]
    masks = [torch.randint(0, 3, (1, 6, 8)) for _ in range(2)]
    settings = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "size": (8, 8), "bgr_to_rgb": bgr_to_rgb}
    got, expected = (
        kind(**settings)(
            {
                "inputs": images,
                "data_samples": [
                    SegDataSample(metainfo={"img_path": str(number)}, gt_sem_seg=PixelData(data=mask))
                    for number, mask in enumerate(masks)
                ],
            },
            is_training,
        )
        for kind in (PinnedPreProcessor, SegDataPreProcessor)
    )
    assert torch.equal(got["inputs"], expected["inputs"])
    for ours, theirs in zip(got["data_samples"], expected["data_samples"], strict=True):
        assert torch.equal(ours.gt_sem_seg.data, theirs.gt_sem_seg.data)
        assert ours.metainfo == theirs.metainfo
