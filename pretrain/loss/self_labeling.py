"""The objective of the second stage: a confident prediction on one global view becomes the label of the other views."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain.constants import constant
from pretrain.distributed import gather_over_processes, own_part, share_of_loss
from pretrain.recipe import NUM_GLOBAL_CROPS


class SelfLabelingLoss(NamedTuple):
    """The objective and how images were selected: scalars, the same in every process.

    Attributes:
        total: cross-entropy, averaged over the labelled images of all processes.
        threshold: confidence of the least confident labelled image.
        kept: the share of the batch that is labelled.
    """

    total: Tensor
    threshold: Tensor
    kept: Tensor


def self_labeling_loss(logits_VBC: Tensor, keep_share: float) -> SelfLabelingLoss:  # noqa: N803 - views, images, classes
    """Cross-entropy of an image's other views with the label that its more confident global view predicts.

    The anchor of an image is the more confident of its two global views, by its largest probability. The class of that
    probability is the label, without gradient; the loss is averaged over the other global view and all local views.
    Only the most confident images of the whole batch of all processes are labelled, which takes two collectives.
    DistributedDataParallel's mean over processes yields the gradient of the whole batch. Follows the official
    ``engine.py``, which takes its quantile over the images of each process instead.

    Args:
        logits_VBC: (V, B, C), this process's share of the batch, global views first; equally many images per process.
        keep_share: share of the batch to label; rounded down, but at least one image.

    Raises:
        ValueError: fewer than two views, or ``keep_share`` is not over 0 and up to 1.
    """
    if logits_VBC.dim() != 3 or len(logits_VBC) < NUM_GLOBAL_CROPS or not 0 < keep_share <= 1:
        raise ValueError(f"a share of {keep_share} cannot be labelled by logits (V, B, C) of {[*logits_VBC.shape]}")
    logits = logits_VBC.to(torch.promote_types(logits_VBC.dtype, torch.float32))
    view_confidences, classes = logits.detach()[:NUM_GLOBAL_CROPS].softmax(dim=-1).max(dim=-1)  # (2, B)
    anchors = (view_confidences[0] <= view_confidences[1]).long()  # (B,)
    labels, confidences = classes.gather(0, anchors[None])[0], view_confidences.amax(dim=0)  # (B,)

    everywhere = gather_over_processes(confidences)  # (images of all processes,)
    num_kept = max(1, int(keep_share * len(everywhere)))
    # Images of equal confidence, as when many are at 1, are taken in batch order until the share is reached.
    ordered, images = everywhere.sort(descending=True, stable=True)
    is_kept = own_part(torch.zeros_like(everywhere, dtype=torch.bool).scatter_(0, images[:num_kept], True))  # (B,)

    losses = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), reduction="none")
    views = torch.arange(len(logits), device=logits.device)[:, None]
    others = losses.view(logits.shape[:2]).masked_fill(views == anchors, 0.0).sum(dim=0) / (len(logits) - 1)
    total = share_of_loss(others.masked_fill(~is_kept, 0.0).sum() / num_kept)
    kept = constant([num_kept / len(everywhere)], ordered.device, ordered.dtype)[0]
    return SelfLabelingLoss(total, ordered[num_kept - 1], kept)
