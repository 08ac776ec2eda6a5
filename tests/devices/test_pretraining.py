"""Steps of pre-training on one GPU and on many: devices, types, layouts, the host's waits and the collectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.devices import pretraining
from tests.devices.pretraining import Seen

# Batch norms: 53 in ResNet-50, each of which crops of both sizes go through, and 2 in the head.
RN50, HEAD = 2 * 53 + 2, 2
LOGGED_WAITS = 12  # more in a step that is logged


class Case(NamedTuple):
    """Steps, and what each may cost: waits of the host, and collectives."""

    recipe: tuple[str, ...]
    settings: Mapping[str, Any] = MappingProxyType({})
    waits: int = 1  # for the loss, which has to be finite
    collectives: int = 0


# With several processes: the stop that is asked of one, the loss, and a bucket of gradients; DistributedDataParallel
# makes 25 MB of them a bucket, but only after the first step, which does not happen here.
SHARED = 3
CASES = {
    "rn50": Case(("rn50",)),
    "rn50, 8": Case(("rn50",), {"num_processes": 8}, 2, 2 * RN50 + SHARED),
    "rn50, 16": Case(("rn50",), {"num_processes": 16}, 2, 2 * RN50 + 2 + SHARED),  # NBS over two processes
    "rn50, colors on the device": Case(("rn50", "augmentation.jitter_on=device", "crops.num_local=2")),
    "rn50, second stage": Case(("rn50",), {"is_second_stage": True}),
    "rn50, second stage, 16": Case(("rn50",), {"is_second_stage": True, "num_processes": 16}, 2, 2 * RN50 + 3 + SHARED),
    "rn50, two parts": Case(("rn50", "data.accumulation=2", "crops.num_local=2")),
    # Both parts go forward twice and backward once.
    "rn50, two parts, 16": Case(
        ("rn50", "data.accumulation=2", "crops.num_local=2"), {"num_processes": 16}, 2, 6 * (RN50 + 1) + SHARED
    ),
    "deit_s": Case(("deit_s",)),
    "deit_s, 16": Case(("deit_s",), {"num_processes": 16}, 2, 3 * (HEAD + 1) + SHARED),  # the teacher's go forward
    "deit_s, 128": Case(("deit_s",), {"num_processes": 128}, 2, 3 * (HEAD + 1) + SHARED),
    "deit_s, fp16": Case(("deit_s", "precision=fp16"), {}, 2),  # and for the gradients, which have to be finite
    "vit_b": Case(("vit_b",)),
    "vit_b, 32": Case(("vit_b",), {"num_processes": 32}, 2, 3 * (HEAD + 1) + SHARED),
}


def problems(case: Case, steps: list[Seen]) -> list[str]:
    """What is not as it should be."""
    plain, counts, logged = steps[1], steps[1].counts, steps[0].counts
    found = []
    if counts.num_waits > case.waits:
        found.append(f"{counts.num_waits} waits: {counts.waits}")
    if logged.num_waits > case.waits + LOGGED_WAITS:
        found.append(f"{logged.num_waits} waits where it is logged: {logged.waits}")
    if counts.num_collectives != case.collectives:
        found.append(f"{counts.num_collectives} collectives: {counts.collectives}")
    if plain.loss_dtype != "float32":
        found.append(f"the loss is in {plain.loss_dtype}")
    if plain.moved or plain.without_gradient:
        found.append(f"gradients in another layout {plain.moved}, none for {plain.without_gradient}")
    half = "float16" if "precision=fp16" in case.recipe else "bfloat16"
    blur = {"row-major float32"} if "augmentation.jitter_on=device" in case.recipe else set()  # a channel at a time
    if set(counts.convolutions) - blur != {f"channels last {half}"}:
        found.append(f"convolutions: {counts.convolutions}")
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_step_computes_where_and_as_it_should(on_fake_cuda: Callable[..., Any], name: str) -> None:
    case = CASES[name]
    assert problems(case, on_fake_cuda(pretraining.steps, *case.recipe, **case.settings)) == []


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("a value read", "2 waits"),
        ("a loss in bf16", "the loss is in bfloat16"),
        ("weights that are row-major", "gradients in another layout"),
    ],
)
def test_a_fault_is_found(on_fake_cuda: Callable[..., Any], fault: str, problem: str) -> None:
    case = CASES["rn50"]
    found = problems(case, on_fake_cuda(pretraining.steps, *case.recipe, "crops.num_local=0", fault=fault))
    assert len(found) >= 1 and found[0].startswith(problem), found


def test_a_collective_more_is_found(on_fake_cuda: Callable[..., Any]) -> None:
    case = CASES["rn50, 8"]
    (found,) = problems(case, on_fake_cuda(pretraining.steps, "rn50", num_processes=8, fault="a collective more"))
    assert found.startswith(f"{case.collectives + 1} collectives")


def test_a_constant_on_the_wrong_device_is_found(on_fake_cuda: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        on_fake_cuda(pretraining.steps, "rn50", "crops.num_local=0", fault="a constant made without its device")
