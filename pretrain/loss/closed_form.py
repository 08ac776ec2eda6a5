"""TWIST's three terms, with their gradient in closed form and one pass over the views instead of every pair.

With l = log(p + eps), the sum over pairs of (p_i - p_j)(l_i - l_j) / 2 needs no pairs: a global view is compared with
every other view and a local view with every global one, so sums over views are enough. Backward keeps the logits and
the mean distributions, and recomputes the probabilities. Images are processed in chunks that fit into the cache, so
the gradient is the only large tensor that is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from pretrain.constants import constant
from pretrain.distributed import num_processes

CPU_CHUNK_BYTES = 2**20  # several tensors of this size stay in a core's cache
GPU_CHUNK_BYTES = 2**26


class Distributions(NamedTuple):
    """Class distributions of some images: probabilities, probabilities + eps, and their logarithms; (V, images, C)."""

    probs: Tensor
    shifted: Tensor
    logs: Tensor


class Partners(NamedTuple):
    """The gradient of consistency with respect to the probabilities of some views.

    It is ``own_weight * logs - log_sum - (own_weight * eps + prob_sum) / shifted``, up to a term that is the same for
    all classes and so has no effect on the gradient of the logits.

    Attributes:
        view_weight: each of these views' share in sharpness and diversity.
        prob_sum, log_sum: (images, C), weighted sums over the views that these are compared with; None means 0.
    """

    views: slice
    view_weight: float
    own_weight: float
    prob_sum: Tensor
    log_sum: Tensor | None


class Pairing(Protocol):
    """Which views are compared.

    Attributes:
        view_weights: each view's share in sharpness and diversity.
    """

    view_weights: list[float]

    def consistency(self, images: slice, own: Distributions) -> Tensor:
        """The sum of consistency over these images; may overwrite their distributions."""

    def partners(self, images: slice, own: Distributions) -> list[Partners]:
        """The partners of every view, group by group."""


class EveryPair:
    """Every pair of a global view and a later view, in both directions; the mean over the pairs."""

    def __init__(self, num_views: int, num_global: int) -> None:
        met = [num_views - 1] * num_global + [num_global] * (num_views - num_global)
        self.globals, self.locals = slice(0, num_global), slice(num_global, num_views)
        self.scale = 1 / sum(met)  # this sum counts each pair twice
        self.view_weights = [self.scale * count for count in met]
        # The sum over all views includes the global view itself; this weight corrects for it.
        self.global_weight = self.scale * num_views
        self.local_weight = self.scale * num_global

    def consistency(self, images: slice, own: Distributions) -> Tensor:
        """See :class:`Pairing`."""
        # Only differences matter, and those of similar views are small: subtracting one view keeps rounding small too.
        logs = own.logs.sub_(own.logs[0].clone())
        products = _view_products(own.probs, logs)
        global_logs = logs[self.globals].sum(dim=0)
        all_logs = logs[self.locals].sum(dim=0).add_(global_logs)
        with_itself = (
            self.global_weight * products[self.globals].sum() + self.local_weight * products[self.locals].sum()
        )
        met = _dot(own.probs[self.globals].sum(dim=0), all_logs) + _dot(own.probs[self.locals].sum(dim=0), global_logs)
        return with_itself - self.scale * met

    def partners(self, images: slice, own: Distributions) -> list[Partners]:
        """See :class:`Pairing`."""
        probs, logs = (each[self.globals].sum(dim=0).mul_(self.scale) for each in (own.probs, own.logs))
        all_probs = probs.add(own.probs[self.locals].sum(dim=0), alpha=self.scale)
        all_logs = logs.add(own.logs[self.locals].sum(dim=0), alpha=self.scale)
        return [
            Partners(self.globals, self.view_weights[0], self.global_weight, all_probs, all_logs),
            Partners(self.locals, self.view_weights[-1], self.local_weight, probs, logs),
        ]


class TeacherPairs:
    """Each view of the teacher against every other view of the student, one direction; the mean over the pairs."""

    def __init__(self, num_views: int, teacher_TBC: Tensor, eps: float) -> None:  # noqa: N803 - views, images, classes
        self.teacher, self.eps, self.num_views = teacher_TBC, eps, num_views
        self.scale = 1 / (len(teacher_TBC) * (num_views - 1))
        self.view_weights = [1 / num_views] * num_views

    def consistency(self, images: slice, own: Distributions) -> Tensor:
        """See :class:`Pairing`."""
        teacher = distributions(self.teacher, images, self.eps)
        same_crop = own.logs[: len(teacher.logs)]
        log_ratios = teacher.logs.mul_(self.num_views - 1).sub_(own.logs.sum(dim=0)).add_(same_crop)
        return self.scale * _dot(teacher.probs, log_ratios)

    def partners(self, images: slice, own: Distributions) -> list[Partners]:
        """See :class:`Pairing`."""
        probs = distributions(self.teacher, images, self.eps).probs.mul_(self.scale)
        total, view_weight = probs.sum(dim=0), self.view_weights[0]
        same_crop = [Partners(slice(t, t + 1), view_weight, 0.0, total - each, None) for t, each in enumerate(probs)]
        return [*same_crop, Partners(slice(len(probs), self.num_views), view_weight, 0.0, total, None)]


def distributions(logits_VBC: Tensor, images: slice, eps: float) -> Distributions:  # noqa: N803
    """The distributions of these images, in at least single precision: probabilities may be as small as eps, 1e-5."""
    probs = logits_VBC[:, images].softmax(dim=-1, dtype=_dtype(logits_VBC))
    shifted = probs + eps
    return Distributions(probs, shifted, shifted.log())


class TwistTerms(torch.autograd.Function):
    """(consistency, sharpness, diversity) of the whole batch of all processes, from logits (V, B, C).

    The forward pass takes one collective, the backward pass none. Provided that every process computes the same loss
    from the terms, DistributedDataParallel's mean over processes yields the gradient of the whole batch.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, pairing: Pairing, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        with _full_precision(logits):
            # Sums over the images: p (V, C), p . l (V,), consistency.
            prob_sums = torch.zeros_like(logits[:, 0], dtype=_dtype(logits))
            products = torch.zeros_like(prob_sums[:, 0], dtype=torch.float64)
            consistency = torch.zeros_like(products[0])
            for images in _chunks(logits):
                own = distributions(logits, images, eps)
                prob_sums += own.probs.sum(dim=1)
                products += _view_products(own.probs, own.logs)
                consistency += pairing.consistency(images, own)

            sums = torch.cat(
                [prob_sums.flatten().double(), products, consistency[None], products.new_full((1,), logits.shape[1])]
            )
            if num_processes() > 1:
                dist.all_reduce(sums)
            num_images = sums[-1]
            mean_probs, mean_products, rest = (sums / num_images).split([prob_sums.numel(), len(products), 2])
            mean_probs = mean_probs.view_as(prob_sums)

            weights = constant(pairing.view_weights, logits.device, mean_products.dtype)
            sharpness = -(weights @ mean_products)
            diversity = -(weights @ (mean_probs * (mean_probs + eps).log()).sum(dim=-1))
        ctx.save_for_backward(logits, mean_probs, num_images)
        ctx.pairing, ctx.eps = pairing, eps
        dtype = _dtype(logits)
        return rest[0].to(dtype), sharpness.to(dtype), diversity.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *term_grads: Tensor) -> tuple[Tensor, None, None]:
        logits, mean_probs, num_images = ctx.saved_tensors
        pairing, eps = ctx.pairing, ctx.eps
        scale = num_processes() / num_images
        with _full_precision(logits):
            consistency, sharpness, diversity = (each * scale.to(each.dtype) for each in term_grads)
            # Diversity's gradient with respect to the mean distributions (V, C).
            shifted = mean_probs + eps
            view_weights = constant(pairing.view_weights, logits.device, mean_probs.dtype)
            slopes = -view_weights[:, None] * (shifted.log() + mean_probs / shifted)
            slopes = slopes.to(diversity.dtype) * diversity
            grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
            for images in _chunks(logits):
                own = distributions(logits, images, eps)
                # The gradient with respect to the probabilities takes the place of their logarithms.
                for views, view_weight, own_weight, prob_sum, log_sum in pairing.partners(images, own):
                    weight = consistency * own_weight - sharpness * view_weight
                    numerator = prob_sum.mul_(consistency).add_(weight * eps)
                    part = own.logs[views].mul_(weight).addcdiv_(numerator, own.shifted[views], value=-1)
                    if log_sum is not None:
                        part.sub_(log_sum.mul_(consistency))
                by_probs = own.logs.add_(slopes[:, None])
                # Through the softmax: p * (g - p . g).
                by_probs.sub_(torch.linalg.vecdot(by_probs, own.probs)[..., None])
                torch.mul(by_probs, own.probs, out=grad[:, images])
        return grad, None, None


def _chunks(logits_VBC: Tensor) -> Iterator[slice]:  # noqa: N803
    num_views, num_images, num_classes = logits_VBC.shape
    image_bytes = num_views * num_classes * _dtype(logits_VBC).itemsize
    limit = CPU_CHUNK_BYTES if logits_VBC.device.type == "cpu" else GPU_CHUNK_BYTES
    size = max(1, limit // image_bytes)
    return (slice(start, start + size) for start in range(0, num_images, size))


def _full_precision(logits: Tensor) -> torch.autocast:
    """Disables autocast, which would compute scalar products of probabilities in half precision."""
    return torch.autocast(logits.device.type, enabled=False)


def _dtype(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _view_products(a: Tensor, b: Tensor) -> Tensor:
    """The scalar product of each view's part of two tensors (V, images, C): (V,)."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten())
