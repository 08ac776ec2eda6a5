"""The networks: a torchvision ResNet without classifier, TWIST's projection head, and both together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from common.errors import unknown_name

MAX_SMALL_SIDE = 2  # of the output, where a product for each of its places is quicker on CPUs


class SmallMapConv2d(nn.Conv2d):
    """A convolution that is quick also where its output is 1x1 or 2x2, as in res5 for images up to 64 px.

    There each place of the output is one matrix product of the part of the map that its window covers. The
    convolution's own gradient reads and writes the whole kernel for every image, mostly for zeros from the padding:
    16 times slower for 1x1 and 3 times for 2x2 (512 channels, 256 images, one CPU core). The result is the same up
    to rounding.
    """

    @classmethod
    def like(cls, conv: nn.Conv2d) -> SmallMapConv2d:
        """The same convolution, holding the same parameter."""
        size, stride, padding = conv.kernel_size, conv.stride, conv.padding
        channels = (conv.in_channels, conv.out_channels)
        ours = cls(*channels, size, stride, padding, bias=False, device="meta")  # type: ignore[arg-type]
        ours.weight = conv.weight
        return ours

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K, H', W')."""
        rows, columns = (self._windows(side) for side in input.shape[-2:])
        if max(len(rows), len(columns)) > MAX_SMALL_SIDE:
            return super().forward(input)
        places = [self._place(input, row, column) for row in rows for column in columns]
        return torch.stack(places, dim=-1).unflatten(-1, (len(rows), len(columns)))

    def _windows(self, side: int) -> list[tuple[slice, slice]]:
        """For each place along one side of the output: the pixels and the taps that meet there."""
        size, padding, stride = self.kernel_size[0], int(self.padding[0]), self.stride[0]
        windows = []
        for start in range(-padding, side + padding - size + 1, stride):
            inside = slice(max(0, start), min(side, start + size))
            windows.append((inside, slice(inside.start - start, inside.stop - start)))
        return windows

    def _place(self, input: Tensor, row: tuple[slice, slice], column: tuple[slice, slice]) -> Tensor:
        pixels = input[:, :, row[0], column[0]]
        taps = self.weight[:, :, row[1], column[1]]
        return F.linear(pixels.flatten(1), taps.flatten(1))


def _use_small_map_convs(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            if child.kernel_size == (3, 3):
                setattr(module, name, SmallMapConv2d.like(child))
        else:
            _use_small_map_convs(child)


class ResNetBackbone(nn.Module):
    """A torchvision ResNet up to its pooled features; the state dict has torchvision's keys, without ``fc``.

    Attributes:
        num_features: channels of the last stage, which is the size of the pooled feature.
    """

    def __init__(self, resnet: torchvision.models.ResNet) -> None:
        super().__init__()
        self.num_features: int = resnet.fc.in_features
        self.conv1 = resnet.conv1
        self.bn1 = resnet.bn1
        self.relu = resnet.relu
        self.maxpool = resnet.maxpool
        self.layer1 = resnet.layer1
        self.layer2 = resnet.layer2
        self.layer3 = resnet.layer3
        self.layer4 = resnet.layer4
        _use_small_map_convs(self)

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps of every stage.

        Args:
            images: (B, 3, H, W), RGB, scaled by ImageNet's mean and standard deviation.

        Returns:
            ``stem`` and ``res2`` at stride 4 (the stem ends with the max pooling), ``res3`` to ``res5`` at strides
            8, 16 and 32. The names are Detectron2's: ``res2`` is torchvision's ``layer1``.
        """
        stem = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        res2 = self.layer1(stem)
        res3 = self.layer2(res2)
        res4 = self.layer3(res3)
        res5 = self.layer4(res4)
        return {"stem": stem, "res2": res2, "res3": res3, "res4": res4, "res5": res5}

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features of the last stage: (B, 3, H, W) to (B, num_features)."""
        return self.forward_stages(images)["res5"].mean(dim=(2, 3))


BACKBONES: dict[str, Callable[[], ResNetBackbone]] = {
    "resnet18": lambda: ResNetBackbone(torchvision.models.resnet18()),
    "resnet34": lambda: ResNetBackbone(torchvision.models.resnet34()),
    "resnet50": lambda: ResNetBackbone(torchvision.models.resnet50()),
    "resnet101": lambda: ResNetBackbone(torchvision.models.resnet101()),
}


def build_backbone(name: str) -> ResNetBackbone:
    """A freshly initialised backbone (torchvision's initialisation, drawn from torch's global generator).

    Args:
        name: a key of :data:`BACKBONES`.

    Raises:
        UserError: there is no backbone of this name.
    """
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES)
    return BACKBONES[name]()


class ProjectionHead(nn.Module):
    """Two hidden layers, a linear layer to C classes, then batch norm without affine before the softmax (NBS).

    Args:
        in_features: size of the backbone's feature.
        hidden: width of both hidden layers (4096 in the paper).
        num_classes: C.
    """

    def __init__(self, in_features: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(in_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_classes),
        )
        self.nbs = nn.BatchNorm1d(num_classes, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, in_features) to logits (N, num_classes)."""
        return self.nbs(self.mlp(features))


class TwistModel(nn.Module):
    """Backbone and head over all views of a batch."""

    def __init__(self, backbone: ResNetBackbone, head: ProjectionHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """Logits of all views.

        Crops of one size go through the backbone together; the head sees all views at once, so the statistics
        of its batch norms, NBS too, mix global and local views.

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
        logits = self.head(torch.cat([features[index] for index in range(len(views))]))
        return logits.unflatten(0, (len(views), -1))
