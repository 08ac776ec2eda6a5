"""Heads, fine-tuning, scoring and clustering on GPUs: devices, types, the host's waits and the collectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.devices import classifying
from tests.devices.watch import Counts


class Case(NamedTuple):
    """What is done, and what it may cost: waits of the host, and collectives; and the layouts of its convolutions."""

    work: str
    arch: str
    num_processes: int = 1
    waits: int = 0
    collectives: int = 0
    layouts: dict[str, int] | None = None  # None: all are in fp32 and row-major


CASES = {
    "heads, rn50": Case("heads", "resnet50"),
    # For the official head's and the candidates' feature, or three: two gradients; the images counted; the losses.
    "heads, rn50, 16": Case("heads", "resnet50", 16, 0, 2 * 1 + 2),
    "heads, deit_s, 128": Case("heads", "deit_small", 128, 0, 2 * 3 + 2),
    "fine-tuning, rn50": Case("fine-tuning", "resnet50"),
    "fine-tuning, rn50, 16": Case("fine-tuning", "resnet50", 16, 0, 1),
    "fine-tuning, deit_s, 128": Case("fine-tuning", "deit_small", 128, 0, 1),
    "fine-tuning in bf16, rn50": Case(
        "fine-tuning in bf16", "resnet50", layouts={"row-major bfloat16": 2, "channels last bfloat16": 2 * 52}
    ),  # the images of each part come row-major, which cuDNN's first convolution turns
    "scores, rn50": Case("scores", "resnet50", waits=1),
    "clusters, rn50": Case("clusters", "resnet50", waits=3),  # features, classes and probabilities come to the host
    "features for k-means, rn50": Case("features for k-means", "resnet50", waits=1),
    "precise norms, rn50": Case("precise norms", "resnet50"),
    "clusters, vit_b": Case("clusters", "vit_base", waits=3),
    # Training features and labels; of each part of the test images, features to the device and scores to the host.
    "neighbours": Case("neighbours", "", waits=2 + 2 * 2, layouts={}),
    "the preflight's passes": Case(  # the network to the device, and two waits between which steps are timed
        "the preflight's passes", "", waits=6 * 53 + 2, layouts={"channels last bfloat16": 2 * 53}
    ),
    "logistic regression": Case("logistic regression", "", waits=99, layouts={}),
    "logistic regression of several labels": Case("logistic regression of several labels", "", waits=99, layouts={}),
}


def problems(case: Case, seen: Counts) -> list[str]:
    """What is not as it should be."""
    found = []
    if seen.num_waits > case.waits:
        found.append(f"{seen.num_waits} waits: {seen.waits}")
    if seen.num_collectives != case.collectives:
        found.append(f"{seen.num_collectives} collectives: {seen.collectives}")
    is_plain = set(seen.convolutions) == {"row-major float32"}
    if not (is_plain if case.layouts is None else seen.convolutions == case.layouts):
        found.append(f"convolutions: {seen.convolutions}")
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_step_computes_where_and_as_it_should(on_fake_cuda: Callable[..., Any], name: str) -> None:
    case = CASES[name]
    assert problems(case, on_fake_cuda(classifying.work, case.work, case.arch, case.num_processes)) == []


def test_a_value_read_is_found(on_fake_cuda: Callable[..., Any]) -> None:
    seen = on_fake_cuda(classifying.work, "fine-tuning", "resnet50", fault="a value read")
    assert problems(CASES["fine-tuning, rn50"], seen)[0].startswith("2 waits: {'item at")  # one in each part


def test_targets_on_the_host_are_found(on_fake_cuda: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        on_fake_cuda(classifying.work, "fine-tuning", "resnet50", fault="targets left on the host")
