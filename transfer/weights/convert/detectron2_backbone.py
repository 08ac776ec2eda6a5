"""Any network as a backbone of Detectron2 0.6, which has ResNets alone.

Imports Detectron2: call :func:`transfer.compat.prepare_detectron2` first.
"""

from __future__ import annotations

from detectron2.modeling.backbone import Backbone
from detectron2.utils import comm
from torch import Tensor

from transfer.weights.backbone import architecture
from transfer.weights.backbone.network import build_dense_network
from transfer.weights.backbone.timm_network import NUM_MAPS

COARSEST_STRIDE = 32


class AnyBackbone(Backbone):
    """A network of ours or of timm; the outputs are its four feature maps, by the names of its stages.

    Args:
        arch: any name that :func:`transfer.weights.backbone.architecture.get` knows.
        drop_path: rate of stochastic depth in the last block.
        sync_norm: whether batch norms are taken over all processes.
        frozen: whether nothing of it learns, and batch norms stay in eval mode.
    """

    def __init__(self, arch: str, *, drop_path: float = 0.0, sync_norm: bool = False, frozen: bool = False) -> None:
        super().__init__()
        spec = architecture.get(arch)
        self.frozen = frozen
        self.network = build_dense_network(arch, drop_path)
        if sync_norm and comm.get_world_size() > 1:
            from timm.layers import convert_sync_batchnorm  # timm takes a second that ResNets need not spend

            self.network = convert_sync_batchnorm(self.network)
        self.network.requires_grad_(not frozen)
        self._out_features = list(spec.stages[-NUM_MAPS:])  # the stem of a ResNet comes before them
        self._out_feature_strides = dict(zip(spec.stages, spec.strides, strict=True))
        self._out_feature_channels = dict(zip(spec.stages, spec.channels, strict=True))

    @property
    def size_divisibility(self) -> int:
        return COARSEST_STRIDE

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) to maps (B, channels, H / stride, W / stride)."""
        maps = self.network.forward_stages(images)
        return {name: maps[name] for name in self._out_features}

    def train(self, mode: bool = True) -> AnyBackbone:
        """As torch's; a frozen network stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self
