"""Segmentation on GPUs: devices, types, the host's waits and the collectives of MMSegmentation's training and test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.devices import segmenting
from tests.devices.steps import Seen

# MMSegmentation selects the labelled pixels for its accuracy twice.
ACCURACY, LOSSES = 2, 1
# Batch norms of ResNet-50, the head of a pyramid, what makes a pyramid of a plain network, and the linear head.
RESNET, HEAD, PYRAMID, LINEAR = 53, 7, 1, 4


class Case(NamedTuple):
    """A protocol, and the norms that are over all processes."""

    benchmark: str
    arch: str = ""
    num_processes: int = 1
    norms: int = 0


CASES = {
    "seg-voc": Case("seg-voc"),
    "seg-voc, 16": Case("seg-voc", "", 16, RESNET + HEAD),
    "seg-voc-any, deit_s, 16": Case("seg-voc-any", "deit_small", 16, HEAD + PYRAMID),
    "seg-voc-frozen": Case("seg-voc-frozen"),
    "seg-voc-any-frozen, deit_s, 16": Case("seg-voc-any-frozen", "deit_small", 16, LINEAR),
}


def problems(case: Case, seen: Seen) -> list[str]:
    """What is not as it should be."""
    waits = {"training": ACCURACY + LOSSES, "test": 0}
    # Norms gather forward, and those with parameters or something to learn before them sum backward; one bucket.
    is_frozen, is_alone = "frozen" in case.benchmark, case.num_processes == 1
    collectives = {"training": (1 if is_frozen else 2) * case.norms + (not is_alone), "test": 0}
    kinds = ["training", "test"] if is_alone else ["training"]
    return seen.problems(waits, collectives, kinds)


@pytest.mark.parametrize("name", CASES)
def test_a_step_computes_where_and_as_it_should(on_fake_cuda: Callable[..., Any], name: str) -> None:
    case = CASES[name]
    seen = on_fake_cuda(segmenting.work, case.benchmark, arch=case.arch, num_processes=case.num_processes)
    assert problems(case, seen) == []


def test_a_value_read_is_found(on_fake_cuda: Callable[..., Any]) -> None:
    case = CASES["seg-voc-frozen"]
    (found,) = problems(case, on_fake_cuda(segmenting.work, case.benchmark, fault="a value read"))
    assert found.startswith(f"training: {ACCURACY + LOSSES + 1} waits")


def test_weights_on_the_host_are_found(on_fake_cuda: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        on_fake_cuda(segmenting.work, "seg-voc-frozen", fault="weights of classes made without their device")
