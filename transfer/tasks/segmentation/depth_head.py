"""DINOv2's linear depth head, and the loss that it is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import MessageHub
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import Tensor, nn
from torch.nn import functional

from twist_common.errors import UserError

LEAST_WEIGHT = 0.1  # of a bin, before the weights are divided by their sum
EPSILON = 0.001  # metres, added before logarithms
MEAN_WEIGHT = 0.15  # of the squared mean difference in the loss
TINY = 1e-12  # under the root, whose slope at 0 is infinite


class LinearDepthHead(BaseDecodeHead):
    """A weight for each of some depths: a 1x1 convolution over the upsampled maps, side by side, without batch norm.

    Of each pixel the depth is the mean of the bins' depths, weighted by the scores' positive parts. A 1x1 convolution
    and bilinear upsampling can be exchanged without changing the result, so each map has its convolution at its own
    size. ``BNHead`` in https://github.com/facebookresearch/dinov2/blob/ad0c4e0cf7aa35cee0dabf71dd5b5e86d78184e0/dinov2/eval/depth/models/decode_heads/linear_head.py
    (it has no batch norm) and ``depth_pred`` beside it.

    Args:
        in_channels: of each map in ``in_index``.
        min_depth, max_depth: metres, of the first and the last bin; depths of test images are kept between them.
        upsample: of the first map, to whose size all are brought.
        group_size: images over whose pixels the loss is taken together; those of a batch are averaged.
        warmup_steps: first steps, in which the loss has the mean difference alone.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        in_index: Sequence[int],
        min_depth: float,
        max_depth: float,
        num_bins: int,
        upsample: int,
        group_size: int,
        warmup_steps: int,
        **settings: Any,
    ) -> None:
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(in_index),
            channels=1,  # of `conv_seg`, which is not used
            num_classes=1,
            threshold=0.0,  # of masks, which are none
            input_transform="multiple_select",
            dropout_ratio=0,
            init_cfg=None,  # PyTorch's
            **settings,
        )
        del self.conv_seg, self.loss_decode
        self.min_depth, self.max_depth = min_depth, max_depth
        self.upsample, self.group_size, self.warmup_steps = upsample, group_size, warmup_steps
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, num_bins, 1, bias=number == 0) for number, channels in enumerate(in_channels)
        )
        fan_in = sum(in_channels)  # they start as one convolution over all channels does
        with torch.no_grad():
            for convolution in self.convolutions:
                for parameter in convolution.parameters():
                    parameter.uniform_(-(fan_in**-0.5), fan_in**-0.5)
        self.register_buffer("depths", torch.linspace(min_depth, max_depth, num_bins), persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, C, h, w) for each map to depths in metres, (B, 1, H, W) at ``upsample`` times the first one's size."""
        selected = self._transform_inputs(maps)
        size = [self.upsample * side for side in selected[0].shape[2:]]
        scores = [
            resize(convolution(each), size=size, mode="bilinear", align_corners=self.align_corners)
            for each, convolution in zip(selected, self.convolutions, strict=True)
        ]
        weights = functional.relu(torch.stack(scores).sum(dim=0)) + LEAST_WEIGHT
        depths = torch.einsum("bnhw,n->bhw", weights, self.depths) / weights.sum(dim=1)
        return depths[:, None]

    def loss_by_feat(self, depths: Tensor, samples: Sequence[Any]) -> dict[str, Tensor]:
        """The loss of predicted depths against those of the samples, at whose size they are compared.

        Raises:
            UserError: the images cannot be divided into groups.
        """
        truth = torch.stack([sample.gt_depth_map.data for sample in samples])
        if len(truth) % self.group_size:
            raise UserError(
                f"the loss is over {self.group_size} images together, a GPU has {len(truth)} at a time: use a batch "
                "and a number of GPUs that leave each of them a multiple"
            )
        depths = resize(depths, size=truth.shape[2:], mode="bilinear", align_corners=self.align_corners)
        steps_done = MessageHub.get_current_instance().get_info("iter", 0)
        groups = zip(depths.split(self.group_size), truth.split(self.group_size), strict=True)
        losses = [scale_invariant(*group, mean_alone=steps_done < self.warmup_steps) for group in groups]
        return {"loss_depth": torch.stack(losses).mean()}

    def predict_by_feat(self, depths: Tensor, batch_img_metas: Sequence[dict[str, Any]]) -> Tensor:
        """Depths between the first and the last bin, at the images' size."""
        kept = depths.clamp(self.min_depth, self.max_depth)
        resized: Tensor = super().predict_by_feat(kept, batch_img_metas)
        return resized


def scale_invariant(depths: Tensor, truth: Tensor, *, mean_alone: bool) -> Tensor:
    """Root of the variance of log differences and of 0.15 times their squared mean, over pixels with a depth.

    ``SigLoss`` in https://github.com/facebookresearch/dinov2/blob/d5c376b5b303c9fed6ac3e1bd987e8a6e51317ee/dinov2/eval/depth/models/losses/sigloss.py.

    Args:
        depths, truth: metres; 0 where there is no true depth.
        mean_alone: whether the variance is left out.
    """
    known = truth > 0
    count = known.sum()
    differences = torch.where(known, (depths + EPSILON).log() - (truth + EPSILON).log(), 0.0)
    mean = differences.sum() / count.clamp(min=1)
    square = MEAN_WEIGHT * mean**2
    if not mean_alone:
        square = square + (torch.where(known, differences - mean, 0.0) ** 2).sum() / (count - 1).clamp(min=1)
    return square.clamp(min=TINY).sqrt()
