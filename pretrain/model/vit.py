"""Vision transformers: timm's without classifier, for images of any size."""

from __future__ import annotations

import math
from typing import cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from pretrain.model.backbone import Backbone, joined
from pretrain.recipe import PATCH_SIZE, Resampling


class ViTBackbone(VisionTransformer, Backbone):
    """timm's ViT with 16 px patches, without classifier; the state dict has timm's keys.

    The position embedding is for 224 px and is resampled for other sizes. Sides must be multiples of 16 px.

    Args:
        num_features: width of the tokens, which is the size of the pooled feature.
        num_heads: number of attention heads.
        depth: number of blocks.
        drop_path: rate of stochastic depth in the last block, rising from 0 in the first.
        position_resampling: ``"timm"`` is antialiased bicubic. ``"official"`` is DINO's plain bicubic rule, with which
            TWIST was trained: see :func:`resample_officially`.
    """

    def __init__(
        self,
        *,
        num_features: int,
        num_heads: int,
        depth: int = 12,
        drop_path: float = 0.0,
        position_resampling: Resampling = "timm",
    ) -> None:
        super().__init__(
            patch_size=PATCH_SIZE,
            embed_dim=num_features,
            depth=depth,
            num_heads=num_heads,
            num_classes=0,
            dynamic_img_size=True,
            drop_path_rate=drop_path,
        )
        self.position_resampling = position_resampling

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override] # timm's takes attention masks too
        """The class token after the last norm: (B, 3, H, W) to (B, num_features)."""
        tokens: Tensor = self.forward_features(images)
        return tokens[:, 0]

    def _pos_embed(self, x: Tensor) -> Tensor:
        """timm's: patches (B, rows, columns, num_features) to tokens with positions, the class token first."""
        if self.position_resampling == "timm":
            tokens: Tensor = super()._pos_embed(x)
            return tokens
        assert self.cls_token is not None and self.pos_embed is not None
        batch, rows, columns, _ = x.shape
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), x.flatten(1, 2)], dim=1)
        return cast(Tensor, self.pos_drop(tokens + resample_officially(self.pos_embed, rows, columns)))

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Patch tokens as maps, after a quarter, half, three quarters and all of the depth.

        The blocks are those of BEiT's and MAE's dense transfer. As there, the last norm is left out: it belongs to
        the class token's feature, and a transfer brings norms of its own.

        Args:
            images: (B, 3, H, W), sides multiples of 16.

        Returns:
            ``block3``, ``block6``, ``block9`` and ``block12`` for a depth of 12, all (B, num_features, H / 16, W / 16).
        """
        indices = self._quarters()
        maps = self.forward_intermediates(images, indices, norm=False, output_fmt="NCHW", intermediates_only=True)
        return {f"block{index + 1}": tokens for index, tokens in zip(indices, cast(list[Tensor], maps), strict=True)}

    def forward_joined(self, images: Tensor) -> list[Tensor]:
        pairs = self.forward_intermediates(
            images, self._quarters(), norm=False, output_fmt="NCHW", return_prefix_tokens=True, intermediates_only=True
        )
        return [joined(*pair) for pair in cast(list[tuple[Tensor, Tensor]], pairs)]

    def _quarters(self) -> list[int]:
        """The blocks with which a quarter, half, three quarters and all of the depth end."""
        return [round(quarter * len(self.blocks) / 4) - 1 for quarter in (1, 2, 3, 4)]

    def forward_last(self, images: Tensor) -> list[Tensor]:
        """Patch tokens as maps after each of the last four blocks, through the last norm; shapes as above."""
        maps = self.forward_intermediates(images, 4, norm=True, output_fmt="NCHW", intermediates_only=True)
        return cast(list[Tensor], maps)

    def last_tokens(self, images: Tensor, num_blocks: int) -> Tensor:
        """Tokens after each of the last blocks, through the last norm: the input of linear heads.

        Args:
            images: (B, 3, H, W), sides multiples of 16.

        Returns:
            (num_blocks, B, 1 + patches, num_features), the class token first.
        """
        tokens = self.forward_intermediates(
            images, num_blocks, norm=True, output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
        )
        pairs = cast(list[tuple[Tensor, Tensor]], tokens)
        return torch.stack([torch.cat([class_token, patches], dim=1) for patches, class_token in pairs])


def resample_officially(embedding: Tensor, rows: int, columns: int) -> Tensor:
    """A position embedding resampled to another grid size, as in the official code.

    Plain bicubic, scaled by (n + 0.1) / grid instead of n / grid: ``interpolate_pos_encoding`` in
    https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/vision_transformer.py, which has it
    from DINO. The samples are therefore slightly closer together than the patches.

    Args:
        embedding: (1, 1 + grid * grid, D), the class token's first.

    Returns:
        (1, 1 + rows * columns, D); the embedding itself where the grid is its own.
    """
    side = math.isqrt(embedding.shape[1] - 1)
    if (rows, columns) == (side, side):
        return embedding
    class_token, patches = embedding.split([1, side * side], dim=1)
    grid = nn.functional.interpolate(
        patches.unflatten(1, (side, side)).permute(0, 3, 1, 2),
        scale_factor=((rows + 0.1) / side, (columns + 0.1) / side),
        mode="bicubic",
    )
    return torch.cat([class_token, grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
