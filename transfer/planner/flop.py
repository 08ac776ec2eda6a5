"""Floating-point operations of a trial's phases."""

from __future__ import annotations

import functools

from transfer.work import BackbonePass, Flop, Phase, Work

FORWARD_AND_BACKWARD = 3  # backward takes twice as many: the gradients of inputs and of weights


def of_phase(phase: Phase) -> Flop | None:
    """All images of a phase; None if nobody counted one."""
    if phase.cost is None:
        return None
    cost, times = phase.cost, phase.num_images
    if isinstance(cost, BackbonePass):
        cost, times = of_backbone(cost), times * (FORWARD_AND_BACKWARD if phase.trains else 1)
    return Flop(times * cost.convolutions, times * cost.products)


def of_work(work: Work) -> Flop | None:
    """All phases; None if one of them is not counted, or none is described."""
    counted = [of_phase(phase) for phase in work.phases]
    if not counted or None in counted:
        return None
    known = [flop for flop in counted if flop]
    return Flop(sum(flop.convolutions for flop in known), sum(flop.products for flop in known))


@functools.cache
def of_backbone(cost: BackbonePass) -> Flop:
    """A forward pass of one image, counted on shapes alone in about a second; imports torch."""
    import torch

    from common.counting import counted_forward, shares
    from pretrain.model import build_backbone

    num_inputs = 2
    with torch.device("meta"):
        network = build_backbone(cost.arch)
    counter = counted_forward(network, (3, cost.image_size, cost.image_size), num_inputs)
    convolutions, products = shares(counter)
    return Flop(convolutions / num_inputs, products / num_inputs)
