"""Many linear heads on a frozen backbone, trained at once: each exactly as ``torch.optim.SGD`` would train it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.model import VITS
from pretrain.model import Backbone as BackboneModule
from transfer.streams import Stream, torch_seed
from transfer.tasks.classification.precision import computed_in
from transfer.tasks.classification.protocol import HeadSetting, Precision
from transfer.tasks.classification.training import Group, sum_over_processes

POOLED = "pooled"  # what timm pools; of a ResNet the mean of its last map
CLASS_TOKEN = "class token"
LAST_CLASS_TOKENS = "last 4 class tokens"  # of the last four blocks, one after the other
CLASS_AND_PATCHES = "class token + mean patch"

NUM_BLOCKS = 4


def feature_sizes(arch: str, num_features: int) -> dict[str, int]:
    """The features of an architecture, and their sizes; ``num_features`` is the backbone's."""
    if arch not in VITS:
        return {POOLED: num_features}
    return {
        CLASS_TOKEN: num_features,
        LAST_CLASS_TOKENS: NUM_BLOCKS * num_features,
        CLASS_AND_PATCHES: 2 * num_features,
    }


class FrozenFeatures(nn.Module):
    """A backbone in eval mode, for good: (B, 3, H, W) to its features (B, D) by name, all from one pass."""

    def __init__(self, backbone: BackboneModule, arch: str, precision: Precision = "fp32") -> None:
        super().__init__()
        self._precision: Precision = precision
        self._backbone = backbone.eval().requires_grad_(False)
        self._is_pooled = arch not in VITS

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Frozen: stays in eval mode."""
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """In the protocol's precision; the features are in single precision (double, if the backbone is)."""
        with computed_in(self._precision, images.device.type):
            if self._is_pooled:
                features = {POOLED: self._backbone(images)}
            else:
                tokens = cast(Any, self._backbone).last_tokens(images, NUM_BLOCKS)  # a ViT: its module imports slowly
                class_token, patches = tokens[-1, :, 0], tokens[-1, :, 1:]
                features = {
                    CLASS_TOKEN: class_token,
                    LAST_CLASS_TOKENS: tokens[:, :, 0].transpose(0, 1).flatten(1),
                    CLASS_AND_PATCHES: torch.cat([class_token, patches.mean(dim=1)], dim=1),
                }
        return {name: feature.float() if feature.itemsize < 4 else feature for name, feature in features.items()}


class _Stack:
    """The heads on one feature, their weights stacked: weight (H, C, D), bias (H, C)."""

    def __init__(self, heads: Sequence[int], settings: Sequence[HeadSetting], weight: Tensor) -> None:
        """Args: ``heads``: numbers of the heads; ``weight``: (C, D), which all of them start from."""
        self.heads = torch.tensor(heads, device=weight.device)
        self.weight = weight.repeat(len(heads), 1, 1).requires_grad_()
        self.bias = weight.new_zeros(self.weight.shape[:2]).requires_grad_()
        self.parameters = [self.weight, self.bias]
        self.momenta = [torch.zeros_like(parameter) for parameter in self.parameters]
        rates = [(settings[head].lr, settings[head].weight_decay) for head in heads]
        self._lr, self._weight_decay = weight.new_tensor(rates).unbind(dim=1)

    def logits(self, feature: Tensor) -> Tensor:
        """(B, D) to (B, H, C), as one matrix product."""
        return F.linear(feature, self.weight.flatten(0, 1), self.bias.flatten()).unflatten(1, self.bias.shape)

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor], lr_factor: float, momentum: float) -> None:
        for parameter, gradient, buffer in zip(self.parameters, gradients, self.momenta, strict=True):
            shape = (-1, *[1] * (parameter.ndim - 1))
            buffer.mul_(momentum).add_(gradient).add_(self._weight_decay.view(shape) * parameter)
            parameter.sub_(lr_factor * self._lr.view(shape) * buffer)


class Heads:
    """Linear heads with settings of their own.

    Args:
        settings: of each head.
        sizes: of each feature.
        head_std: deviation of the weights' normal distribution; heads on one feature start from the same weights.
        seed: draws them.
    """

    def __init__(
        self,
        settings: Sequence[HeadSetting],
        sizes: Mapping[str, int],
        num_classes: int,
        *,
        head_std: float,
        momentum: float,
        seed: int,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.settings = tuple(settings)
        self._momentum = momentum
        self._stacks: dict[str, _Stack] = {}
        for number, feature in enumerate(dict.fromkeys(setting.feature for setting in settings)):
            members = [head for head, setting in enumerate(settings) if setting.feature == feature]
            generator = torch.Generator().manual_seed(torch_seed(seed, Stream.LINEAR_HEADS, number))
            weight = head_std * torch.randn(num_classes, sizes[feature], generator=generator)
            self._stacks[feature] = _Stack(members, settings, weight.to(device, dtype))
        self._places = torch.cat([stack.heads for stack in self._stacks.values()]).argsort()

    def __len__(self) -> int:
        return len(self.settings)

    def logits(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features (B, D) by name to logits (B, H, C)."""
        parts = [stack.logits(features[feature]) for feature, stack in self._stacks.items()]
        return torch.cat(parts, dim=1)[:, self._places]

    def parameters_of(self, head: int) -> tuple[Tensor, Tensor]:
        """A head's weight (C, D) and bias (C,)."""
        stack = self._stacks[self.settings[head].feature]
        place = stack.heads.tolist().index(head)
        return stack.weight[place].detach(), stack.bias[place].detach()

    def step(
        self, features: Mapping[str, Tensor], labels: Tensor, counted: Tensor, *, lr_factor: float, group: Group
    ) -> Tensor:
        """One step of SGD on the mean cross-entropy of each head's images.

        Args:
            labels: (B,), of this process's images.
            counted: (B, H), 1 where a head is trained on an image, else 0.
            lr_factor: of the schedule.

        Returns:
            The loss of each head (H,), over all processes.
        """
        losses = counted.new_zeros(len(self))
        num_counted = counted.sum(dim=0)
        sum_over_processes(num_counted, group)
        for feature, stack in self._stacks.items():
            logits = stack.logits(features[feature])
            targets = labels[:, None].expand(-1, logits.shape[1])
            entropies = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
            weights = counted[:, stack.heads] / num_counted[stack.heads].clamp(min=1)
            mean = (entropies * weights).sum(dim=0)
            gradients = torch.autograd.grad(mean.sum(), stack.parameters)  # the heads' losses have nothing in common
            for gradient in gradients:
                sum_over_processes(gradient, group)
            stack.update(gradients, lr_factor, self._momentum)
            losses[stack.heads] = mean.detach()
        sum_over_processes(losses, group)
        return losses

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {
            feature: [tensor.detach() for tensor in (*stack.parameters, *stack.momenta)]
            for feature, stack in self._stacks.items()
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resumes from :meth:`state`."""
        for feature, stack in self._stacks.items():
            for tensor, saved in zip((*stack.parameters, *stack.momenta), state[feature], strict=True):
                tensor.copy_(saved)


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes each head ranks before the right one; a head that has diverged ranks all of them before it.

    Args:
        logits: (B, H, C). Of equal scores, the one of the lower class counts as higher.
        labels: (B,).

    Returns:
        (B, H), 0 where the head is right.
    """
    labels = labels[:, None, None].expand(-1, logits.shape[1], 1)
    score = logits.gather(2, labels)
    earlier = torch.arange(logits.shape[2], device=logits.device) < labels
    before = ((logits > score) | ((logits == score) & earlier)).sum(dim=2)
    return torch.where(logits.isfinite().all(dim=2), before, logits.shape[2])
