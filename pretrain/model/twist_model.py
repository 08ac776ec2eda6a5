"""Backbone and head together, as a recipe defines them: from all views of a batch to their logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pretrain.distributed import Process
from pretrain.model.backbone import Backbone
from pretrain.model.build import build_backbone
from pretrain.model.head import ProjectionHead, head_config
from pretrain.model.norms import BunchNorm, assign_bunches, sync_batch_norms
from pretrain.recipe import Recipe

# Of a ViT's class token at initialisation; timm's is 1e-6. VisionTransformer.__init__ in
# https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/vision_transformer.py
OFFICIAL_TOKEN_STD = 0.02


class TwistModel(nn.Module):
    """Backbone and head over all views of a batch."""

    def __init__(self, backbone: Backbone, head: ProjectionHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """Computes the logits of all views.

        Crops of one size pass through the backbone together. The head sees all views at once, so the statistics of its
        batch norms, including NBS, mix global and local views.

        Args:
            views: V batches of crops of the same B images, each (B, 3, H, W); sizes may differ.

        Returns:
            Logits (V, B, C), in the order of ``views``.
        """
        features: dict[int, Tensor] = {}
        for size in dict.fromkeys(view.shape[-2:] for view in views):
            members = [index for index, view in enumerate(views) if view.shape[-2:] == size]
            pooled = self.backbone(torch.cat([views[index] for index in members]))
            features.update(zip(members, pooled.chunk(len(members)), strict=True))
        logits: Tensor = self.head(torch.cat([features[index] for index in range(len(views))]), len(views))
        return logits.unflatten(0, (len(views), -1))


def build_model(recipe: Recipe, process: Process) -> TwistModel:
    """The recipe's network on the process's device, freshly initialised from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    settings = recipe.model
    backbone = build_backbone(settings.backbone, settings.drop_path, settings.position_resampling)
    model = TwistModel(backbone, ProjectionHead(**head_config(settings, backbone.num_features)))
    if isinstance(class_token := getattr(backbone, "cls_token", None), nn.Parameter):
        nn.init.trunc_normal_(class_token, std=OFFICIAL_TOKEN_STD)
    sync_batch_norms(model, process)
    if isinstance(model.head.nbs, BunchNorm):
        part_size = recipe.data.batch_size // recipe.data.accumulation
        assign_bunches(model.head.nbs, recipe.model.bunch_size, part_size, process)
    # Twice as fast as row-major for small maps, on CPUs and GPUs alike.
    return model.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
