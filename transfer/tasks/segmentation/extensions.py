"""What our trials use and MMSegmentation lacks: any backbone, a linear head, a user's own masks, a transform of
masks, a metric, layer-wise learning rates, and checkpoints that are written beside the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.cnn import build_norm_layer
from mmcv.transforms import BaseTransform
from mmengine.fileio import register_backend
from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.evaluation import IoUMetric
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS
from torch import nn

from transfer.layouts import MaskFolders
from transfer.tasks.segmentation.depth_data import DepthListDataset, FixedCrop, GammaAndColour
from transfer.tasks.segmentation.depth_head import LinearDepthHead
from transfer.tasks.segmentation.depth_scores import DepthErrors
from transfer.tasks.segmentation.hooks import BackgroundBackend, BackgroundCheckpoints
from transfer.tasks.segmentation.masks import IGNORED, class_indices, mask_pairs
from transfer.tasks.segmentation.preprocessing import PinnedPreProcessor
from transfer.weights.backbone.layers import parameter_groups
from transfer.weights.convert.mmseg_backbone import register_backbone


def register_extensions() -> None:
    """Makes them known to configs by their names. Idempotent."""
    register_backbone()
    register_backend(BackgroundBackend.__name__, BackgroundBackend, force=True)
    HOOKS.register_module(module=BackgroundCheckpoints, force=True)
    MODELS.register_module(module=LinearPyramidHead, force=True)
    MODELS.register_module(module=PinnedPreProcessor, force=True)
    DATASETS.register_module(module=OwnMasksDataset, force=True)
    TRANSFORMS.register_module(module=LoadOwnMask, force=True)
    TRANSFORMS.register_module(module=MergeForeground, force=True)
    METRICS.register_module(module=ExistingClassesIoU, force=True)
    MODELS.register_module(module=LinearDepthHead, force=True)
    DATASETS.register_module(module=DepthListDataset, force=True)
    TRANSFORMS.register_module(module=FixedCrop, force=True)
    TRANSFORMS.register_module(module=GammaAndColour, force=True)
    METRICS.register_module(module=DepthErrors, force=True)
    OPTIM_WRAPPER_CONSTRUCTORS.register_module(module=LayerDecay, force=True)


class LinearPyramidHead(BaseDecodeHead):
    """The head of the frozen protocols: one normalised 1x1 convolution per stage, upsampled to the first and summed.

    Bilinear upsampling and a 1x1 convolution can be exchanged without changing the result, so this is the linear
    classifier over the stages' concatenated features, at a fraction of the memory. Batch norm without parameters puts
    features of any initialisation and stage on one scale, so that one learning rate suits them all (He et al. 2022,
    "Masked Autoencoders", appendix A.1). Nothing else learns.

    Args:
        in_channels: of each stage in ``in_index``.
        norm_cfg: kind of batch norm.
        learned_norms: whether the batch norms learn scale and shift, and the classifiers have one bias together: then
            the head is that of DINOv2's linear probe, batch norm and 1x1 convolution over the concatenated maps of one
            size (``BNHead`` in https://github.com/facebookresearch/dinov2/blob/7c503b3e8bc1ab4cddb0bf4f925cf663dd213e4e/dinov2/eval/segmentation/models/decode_heads/linear_head.py).
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        in_index: Sequence[int],
        num_classes: int,
        norm_cfg: Any,
        learned_norms: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(in_index),
            channels=num_classes,  # of `conv_seg`, which is not used
            num_classes=num_classes,
            input_transform="multiple_select",
            dropout_ratio=0,
            norm_cfg=norm_cfg,
            init_cfg={"type": "Normal", "layer": "Conv2d", "std": 0.01},
            **settings,
        )
        del self.conv_seg
        self.norms = nn.ModuleList(
            build_norm_layer({**norm_cfg, "affine": learned_norms}, channels)[1] for channels in in_channels
        )
        self.classifiers = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 1, bias=number == 0 or not learned_norms)
            for number, channels in enumerate(in_channels)
        )

    def forward(self, stages: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, C_s, H_s, W_s) for each stage to logits (B, classes, H, W) at the first stage's size."""
        selected = self._transform_inputs(stages)
        size = selected[0].shape[2:]
        logits = [
            resize(classify(norm(stage)), size=size, mode="bilinear", align_corners=self.align_corners)
            for stage, norm, classify in zip(selected, self.norms, self.classifiers, strict=True)
        ]
        return torch.stack(logits).sum(dim=0)


class ExistingClassesIoU(IoUMetric):
    """MMSegmentation's IoU and accuracy, over the classes that the test masks have.

    A class of which no pixel is to be found would enter the mean as 0 where the model predicts it once, and not at all
    where it never does. ``areas`` are the pixels of each image and class that were scored last: right, in the union,
    predicted, labelled. On GPUs the host waits for those of no image, but for all together after the last.
    """

    areas: list[tuple[torch.Tensor, ...]]
    results: list[tuple[torch.Tensor, ...]]

    @staticmethod
    def intersect_and_union(
        pred_label: torch.Tensor, label: torch.Tensor, num_classes: int, ignore_index: int
    ) -> tuple[torch.Tensor, ...]:
        """MMSegmentation's areas (classes,), on the device of the predictions, by no index of unknown length."""
        is_labelled = label != ignore_index

        def area(of: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
            """Pixels of each class; the others are counted as -1."""
            return torch.histc(torch.where(where, of.float(), -1.0), num_classes + 1, min=-1, max=num_classes - 1)[1:]

        right = area(label, is_labelled & (pred_label == label))
        predicted, labelled = area(pred_label, is_labelled), area(label, is_labelled)
        return right, predicted + labelled - right, predicted, labelled

    def evaluate(self, size: int) -> dict[str, float]:
        """MMEngine's, of areas on the host."""
        if self.results:
            self.results = [tuple(each) for each in torch.stack([torch.stack(each) for each in self.results]).cpu()]
        figures: dict[str, float] = super().evaluate(size)
        return figures

    def compute_metrics(self, results: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
        self.areas = results
        exists = sum(labelled for *_, labelled in results) > 0
        metrics: dict[str, float] = super().compute_metrics(
            [(found, union * exists, predicted, labelled) for found, union, predicted, labelled in results]
        )
        return metrics


class OwnMasksDataset(BaseSegDataset):
    """A user's own images and masks, of any suffix."""

    def __init__(self, *, ending: str, **settings: Any) -> None:
        self._ending = ending
        super().__init__(**settings)

    def load_data_list(self) -> list[dict[str, Any]]:
        """MMSegmentation's list of images with their masks."""
        folders = self.data_prefix["img_path"], self.data_prefix["seg_map_path"]
        part = MaskFolders(*folders, names=self.ann_file, ending=self._ending)
        return [
            {
                "img_path": str(image),
                "seg_map_path": str(mask),
                "label_map": self.label_map,
                "reduce_zero_label": self.reduce_zero_label,
                "seg_fields": [],
            }
            for image, mask in mask_pairs(Path(self.data_root), part)
        ]


class LoadOwnMask(LoadAnnotations):
    """Reads a mask of ids or colours as class indices (:func:`transfer.tasks.segmentation.masks.class_indices`)."""

    def __init__(self, *, values: Sequence[int], ignored: Sequence[int]) -> None:
        super().__init__()
        self._values, self._ignored = values, ignored

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        path = Path(results["seg_map_path"])
        results["gt_seg_map"] = class_indices(path, values=self._values, ignored=self._ignored)
        results["seg_fields"].append("gt_seg_map")


class MergeForeground(BaseTransform):
    """Makes one class of all that is neither background (0) nor ignored (255)."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        mask = results["gt_seg_map"]
        results["gt_seg_map"] = np.where((mask == 0) | (mask == IGNORED), mask, np.ones_like(mask))
        return results


class LayerDecay(DefaultOptimWrapperConstructor):
    """Lets layers nearer to the image learn more slowly, for any network; ``paramwise_cfg`` has ``layer_decay``."""

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **kwargs: Any) -> None:
        """Adds the groups of :func:`transfer.weights.backbone.layers.parameter_groups`, with the optimiser's rates."""
        backbone: Any = module.backbone
        params += parameter_groups(
            module,
            backbone.network,
            backbone.arch,
            learning_rate=self.base_lr,
            weight_decay=self.base_wd,
            layer_decay=self.paramwise_cfg["layer_decay"],
        )
