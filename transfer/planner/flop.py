"""Floating-point operations of a trial's phases."""

from __future__ import annotations

import functools

from transfer.work import BackbonePass, Flop, NetworkPass, Work

FORWARD_AND_BACKWARD = 3  # backward takes twice as many: the gradients of inputs and of weights


def of_work(work: Work) -> Flop | None:
    """The sum over all images of all phases; None if one of them is not counted, or none is described."""
    convolutions = products = 0.0
    for phase in work.phases:
        cost, times = phase.cost, phase.num_images
        if cost is None:
            return None
        if isinstance(cost, BackbonePass):
            cost, times = of_backbone(cost), times * (FORWARD_AND_BACKWARD if phase.trains else 1)
        if isinstance(cost, NetworkPass):
            from transfer.tasks.network_cost import network_flop  # it imports torch

            cost = network_flop(cost) + cost.rest
        convolutions += times * cost.convolutions
        products += times * cost.products
    return Flop(convolutions, products) if work.phases else None


@functools.cache
def of_backbone(cost: BackbonePass) -> Flop:
    """A forward pass of one image, counted on shapes alone in about a second; imports torch."""
    import torch

    from transfer.weights.backbone.network import build_network
    from twist_common.counting import counted_forward, shares

    num_inputs = 2
    with torch.device("meta"):
        network = build_network(cost.arch)
    counter = counted_forward(network, (3, cost.image_size, cost.image_size), num_inputs)
    convolutions, products = shares(counter)
    return Flop(convolutions / num_inputs, products / num_inputs)
