"""Detection on GPUs: devices, types, the host's waits and the collectives of Detectron2's training and test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.devices import detecting
from tests.devices.steps import Seen

# What Detectron2 0.6 waits for itself with two images in training (matching, sampling, NMS, its own statistics) and
# with one in a test: there, a result's shape or a branch depends on values. Masks come on top.
TRAINS, TESTS = 73, 29
MASKS_TRAIN, MASKS_TEST = 13, 7
BACKWARD, LOSSES = 2, 1  # of a training step alone
SCALED = 1  # for gradients of a scaled loss, which have to be finite
MASKED = 3  # of a norm of torch's over several processes, with regions for a batch
# Batch norms of ResNet-50, its pyramid, and the heads of boxes and masks.
RESNET, PYRAMID, BOXES, MASKS = 53, 8, 4, 4


class Case(NamedTuple):
    """A protocol, and the norms that are over all processes: of backbone and pyramid, and of the heads.

    Attributes:
        row_major: convolutions of such maps: images, regions of a head, or tokens.
    """

    benchmark: str
    arch: str = ""
    num_processes: int = 1
    norms: int = 0
    head_norms: int = 0
    parts: int = 1
    is_half: bool = False
    row_major: int = 2


CASES = {
    "voc": Case("voc"),
    "voc, 16": Case("voc", "", 16, RESNET + PYRAMID, BOXES),
    "voc-frozen, 16": Case("voc-frozen", "", 16, PYRAMID, BOXES),
    "coco": Case("coco", row_major=3),
    "coco-any, deit_s, 16": Case("coco-any", "deit_small", 16, 0, BOXES + MASKS, row_major=7),
    "own-voc-any-frozen, deit_s": Case("own-voc-any-frozen", "deit_small", row_major=6),  # voc-any-frozen, shorter
    "voc, two parts": Case("voc", parts=2, row_major=4),
    "voc-any, deit_s, fp16": Case("voc-any", "deit_small", is_half=True, row_major=6),
}


def problems(case: Case, seen: Seen) -> list[str]:
    """What is not as it should be."""
    has_masks, norms = case.benchmark.startswith("coco"), case.norms + case.head_norms
    passes = TRAINS + MASKS_TRAIN * has_masks + MASKED * case.head_norms
    waits = {
        "training": case.parts * (passes + BACKWARD) + LOSSES + SCALED * case.is_half,
        "precise norms": case.parts * passes,
        "test": TESTS + MASKS_TEST * has_masks,
    }
    # Norms gather forward and sum backward; one bucket of gradients, and the losses.
    collectives = {"training": 2 * norms + 2 * (case.num_processes > 1), "precise norms": norms, "test": 0}
    kinds = ["training", "precise norms", "test"] if case.num_processes == 1 else ["training", "precise norms"]
    half = "float16" if case.is_half else "float32"
    return seen.problems(waits, collectives, kinds, row_major=case.row_major, half=half)


@pytest.mark.parametrize("name", CASES)
def test_a_step_computes_where_and_as_it_should(on_fake_cuda: Callable[..., Any], name: str) -> None:
    case = CASES[name]
    settings = {name: getattr(case, name) for name in ("arch", "num_processes", "parts", "is_half")}
    seen = on_fake_cuda(detecting.work, case.benchmark, **settings)
    assert problems(case, seen) == []


def test_a_value_read_is_found(on_fake_cuda: Callable[..., Any]) -> None:
    case = CASES["voc-frozen, 16"]
    seen = on_fake_cuda(detecting.work, case.benchmark, num_processes=16, fault="a value read")
    (found,) = problems(case, seen)
    assert found.startswith(f"training: {TRAINS + BACKWARD + LOSSES + MASKED * BOXES + 1} waits")


def test_norms_that_wait_are_found(on_fake_cuda: Callable[..., Any]) -> None:
    case = CASES["voc-frozen, 16"]
    seen = on_fake_cuda(detecting.work, case.benchmark, num_processes=16, fault="norms that wait")
    wanted = TRAINS + MASKED * (PYRAMID + BOXES)
    assert [found.partition(":")[2].split()[0] for found in problems(case, seen)] == [
        str(wanted + BACKWARD + LOSSES),
        str(wanted),
    ]


def test_a_mean_on_the_host_is_found(on_fake_cuda: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        on_fake_cuda(detecting.work, "voc-frozen", fault="a mean made without its device")
