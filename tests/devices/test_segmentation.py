"""Segmentation on GPUs: devices, types, the host's waits and the collectives of MMSegmentation's training and test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.devices import segmenting
from tests.devices.steps import Seen

# MMSegmentation selects the labelled pixels for its accuracy twice; MMEngine reads the norm of gradients that it clips.
ACCURACY, NORM, LOSSES = 2, 1, 1
SLIDES = 1  # of a test image that is seen through windows: each pixel has to be in one
# Of a test image with depths: how many are known, which, and their sum. Here none is: the nine errors of a real one are
# read one by one (15 waits on an H100).
KNOWN = 3
# Batch norms of ResNet-50, the head of a pyramid, what makes a pyramid of a plain network, and the linear head.
RESNET, HEAD, PYRAMID, LINEAR = 53, 7, 1, 4


class Case(NamedTuple):
    """A protocol, the norms that are over all processes, and the convolutions of row-major maps: images or tokens."""

    benchmark: str
    arch: str = ""
    num_processes: int = 1
    norms: int = 0
    parts: int = 1
    row_major: int = 1


CASES = {
    "seg-voc": Case("seg-voc"),
    "seg-voc, 16": Case("seg-voc", "", 16, RESNET + HEAD),
    "seg-voc-any, deit_s, 16": Case("seg-voc-any", "deit_small", 16, HEAD + PYRAMID, row_major=5),
    "seg-voc-frozen": Case("seg-voc-frozen"),
    "own-masks-any-frozen, deit_s, 16": Case("own-masks-any-frozen", "deit_small", 16, LINEAR, row_major=5),
    "seg-voc-linear4, deit_s": Case("seg-voc-linear4", "deit_small", row_major=5),
    "seg-voc-linear, deit_s, 16": Case("seg-voc-linear", "deit_small", 16, 1, row_major=2),
    "seg-voc, two parts": Case("seg-voc", parts=2, row_major=2),
    "nyu-depth-linear4, deit_s": Case("nyu-depth-linear4", "deit_small", row_major=5),
    "nyu-depth-linear, deit_s, 16": Case("nyu-depth-linear", "deit_small", 16, row_major=2),
}


def problems(case: Case, seen: Seen) -> list[str]:
    """What is not as it should be."""
    has_depths = "depth" in case.benchmark
    waits = {
        "training": LOSSES + (NORM if has_depths else case.parts * ACCURACY),
        "test": SLIDES * ("linear" in case.benchmark) + KNOWN * has_depths,
    }
    # Norms gather forward, and those with something to learn before them sum backward; one bucket.
    is_alone, is_probe = case.num_processes == 1, "frozen" in case.benchmark or "linear" in case.benchmark
    collectives = {"training": (1 if is_probe else 2) * case.norms + (not is_alone), "test": 0}
    kinds = ["training", "test"] if is_alone else ["training"]
    return seen.problems(waits, collectives, kinds, row_major=case.row_major)


@pytest.mark.parametrize("name", CASES)
def test_a_step_computes_where_and_as_it_should(on_fake_cuda: Callable[..., Any], name: str) -> None:
    case = CASES[name]
    settings = {name: getattr(case, name) for name in ("arch", "num_processes", "parts")}
    seen = on_fake_cuda(segmenting.work, case.benchmark, **settings)
    assert problems(case, seen) == []


def test_a_value_read_is_found(on_fake_cuda: Callable[..., Any]) -> None:
    case = CASES["seg-voc-frozen"]
    (found,) = problems(case, on_fake_cuda(segmenting.work, case.benchmark, fault="a value read"))
    assert found.startswith(f"training: {ACCURACY + LOSSES + 1} waits")


def test_weights_on_the_host_are_found(on_fake_cuda: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        on_fake_cuda(segmenting.work, "seg-voc-frozen", fault="weights of classes made without their device")
