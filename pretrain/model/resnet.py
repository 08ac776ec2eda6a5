"""ResNets: torchvision's without classifier, a wide ResNet-50, and fast convolutions of small maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from pretrain.model.backbone import Backbone

MAX_SMALL_SIDE = 2  # of the output: up to this side, one matrix product per output position is faster on CPUs


class SmallMapConv2d(nn.Conv2d):
    """A convolution that is fast even if its output is 1x1 or 2x2, as in res5 for images up to 64 px.

    It computes each position of such an output as one matrix product with the part of the map that its window covers.
    The gradient of torch's convolution reads and writes the whole kernel for every image, mostly for zeros of the
    padding, which takes 16 times as long for 1x1 and 3 times for 2x2 (512 channels, 256 images, one CPU core). The
    result is the same up to rounding.
    """

    @classmethod
    def like(cls, conv: nn.Conv2d) -> SmallMapConv2d:
        """The same convolution, sharing its parameter."""
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
        places = [
            F.linear(input[:, :, row, column].flatten(1), self.weight[:, :, row_taps, column_taps].flatten(1))
            for row, row_taps in rows
            for column, column_taps in columns
        ]
        return torch.stack(places, dim=-1).unflatten(-1, (len(rows), len(columns)))

    def _windows(self, side: int) -> list[tuple[slice, slice]]:
        """For each position along one side of the output: the slices of the input and of the kernel that overlap."""
        size, padding, stride = self.kernel_size[0], int(self.padding[0]), self.stride[0]
        windows = []
        for start in range(-padding, side + padding - size + 1, stride):
            inside = slice(max(0, start), min(side, start + size))
            windows.append((inside, slice(inside.start - start, inside.stop - start)))
        return windows


def _use_small_map_convs(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            if child.kernel_size == (3, 3):
                setattr(module, name, SmallMapConv2d.like(child))
        else:
            _use_small_map_convs(child)


class ResNetBackbone(Backbone):
    """A ResNet up to its pooled features; the state dict has torchvision's keys, without ``fc``.

    Args:
        conv1, bn1: the stem's convolution and norm; its activation and pooling are torchvision's.
        layers: the four stages.
        num_features: channels of the last stage, which is the size of the pooled feature.
    """

    def __init__(
        self, conv1: nn.Conv2d, bn1: nn.BatchNorm2d, layers: Sequence[nn.Sequential], *, num_features: int
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.conv1 = conv1
        self.bn1 = bn1
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        _use_small_map_convs(self)

    @classmethod
    def of(cls, resnet: torchvision.models.ResNet) -> ResNetBackbone:
        """One of torchvision's ResNets, sharing its parameters."""
        layers = [resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]
        return cls(resnet.conv1, resnet.bn1, layers, num_features=resnet.fc.in_features)

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps of every stage.

        Args:
            images: (B, 3, H, W), RGB, normalised with ImageNet's mean and standard deviation.

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


def wide_resnet50(widen: int) -> ResNetBackbone:
    """ResNet-50 with every width multiplied by ``widen``, like the ResNet-50w2 of SimCLR and the official TWIST.

    torchvision's ``wide_resnet50_2`` is another network: it widens only the 3x3 convolutions.
    """
    width = 64 * widen
    conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
    layers, channels = [], width
    for stage, num_blocks in enumerate((3, 4, 6, 3)):
        planes, stride = width * 2**stage, 1 if stage == 0 else 2
        widened = planes * Bottleneck.expansion
        shortcut = nn.Sequential(
            nn.Conv2d(channels, widened, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(widened)
        )
        others = [Bottleneck(widened, planes) for _ in range(num_blocks - 1)]
        layers.append(nn.Sequential(Bottleneck(channels, planes, stride, shortcut), *others))
        channels = widened
    backbone = ResNetBackbone(conv1, nn.BatchNorm2d(width), layers, num_features=channels)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's ResNets
    return backbone
