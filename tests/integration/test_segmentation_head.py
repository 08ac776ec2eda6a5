"""The linear head of the frozen protocols, in MMSegmentation's terms."""

from __future__ import annotations

import math

import torch

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from transfer.tasks.segmentation import extensions


def test_linear_head_is_linear_in_the_concatenated_features() -> None:
    from mmseg.models.utils import resize

    head = extensions.LinearPyramidHead(
        in_channels=[3, 5], in_index=[0, 1], num_classes=4, norm_cfg={"type": "BN"}, align_corners=False
    ).eval()
    torch.manual_seed(0)
    stages = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    with torch.no_grad():
        found = head(stages)
        features = torch.cat([stages[0], resize(stages[1], size=(8, 8), mode="bilinear", align_corners=False)], dim=1)
        weight = torch.cat([classifier.weight for classifier in head.classifiers], dim=1) / math.sqrt(1 + 1e-5)
        wanted = torch.nn.functional.conv2d(features, weight, sum(classifier.bias for classifier in head.classifiers))
    torch.testing.assert_close(found, wanted)
