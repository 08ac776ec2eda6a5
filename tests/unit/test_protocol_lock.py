"""The protocol lock: what may change with the batch, and what a trial is called then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transfer.protocol_lock import BatchSchedule, accumulation, batch_note, judge, rescaled, with_norm_batch
from twist_common.errors import UserError

VOC = BatchSchedule(
    batch_size=16, learning_rate=0.02, iterations=24000, milestones=(18000, 22000), warmup_iterations=100
)
KEYS = ("BATCH", "RATE", "ITERATIONS", "MILESTONES", "WARMUP")
HALF = BatchSchedule(
    batch_size=8, learning_rate=0.01, iterations=48000, milestones=(36000, 44000), warmup_iterations=200
)
GIB = 2**30


def test_half_the_batch_has_half_the_rate_and_twice_the_steps() -> None:
    assert rescaled(VOC, 8) == HALF
    assert rescaled(HALF, 16) == VOC


def test_rescaling_shows_the_same_number_of_images() -> None:
    for batch in (1, 2, 3, 5, 8, 32, 64):
        assert abs(rescaled(VOC, batch).iterations * batch - 24000 * 16) <= batch / 2


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(UserError, match="at least one image"):
        rescaled(VOC, 0)


def test_no_difference_is_on_protocol() -> None:
    assert judge(VOC, VOC, [], KEYS).standing == "on protocol"


def test_a_batch_with_its_whole_schedule_is_rescaled_and_says_from_what() -> None:
    verdict = judge(VOC, HALF, ["BATCH: 16 -> 8", "RATE: 0.02 -> 0.01"], KEYS)
    assert verdict.standing == "rescaled"
    assert verdict.difference == ["rescaled from batch 16 to 8", "BATCH: 16 -> 8", "RATE: 0.02 -> 0.01"]


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 0.02},
        {"iterations": 24000},
        {"milestones": (18000, 22000)},
        {"milestones": (36000,)},
        {"warmup_iterations": 100},
        {"batch_size": 4},
    ],
)
def test_a_batch_without_any_one_part_of_its_schedule_is_off_protocol(changed: dict[str, object]) -> None:
    assert judge(VOC, replace(HALF, **changed), ["BATCH: 16 -> 8"], KEYS).standing == "off protocol"


def test_rescaling_covers_no_other_difference() -> None:
    assert judge(VOC, HALF, ["BATCH: 16 -> 8", "FREEZE_AT: 0 -> 2"], KEYS).standing == "off protocol"


def test_a_longer_schedule_with_the_same_batch_is_off_protocol() -> None:
    longer = replace(VOC, iterations=48000)
    assert judge(VOC, longer, ["ITERATIONS: 24000 -> 48000"], KEYS).standing == "off protocol"


@pytest.mark.parametrize(
    ("num_devices", "gib", "parts"),
    [(8, 24, 1), (4, 24, 1), (2, 24, 2), (1, 24, 4), (1, 80, 1), (8, 6, 2), (1, 6, 16)],
)
def test_a_share_that_does_not_fit_is_accumulated_in_as_few_parts_as_do(num_devices: int, gib: int, parts: int) -> None:
    assert accumulation(16, num_devices=num_devices, device_bytes=gib * GIB, image_bytes=4 * GIB) == parts


def test_a_gpu_too_small_for_one_image_is_refused_with_what_is_needed() -> None:
    with pytest.raises(UserError, match="at least 5 GiB"):
        accumulation(16, num_devices=8, device_bytes=4 * GIB, image_bytes=4 * GIB)


def test_the_note_says_over_how_many_images_batch_norm_goes() -> None:
    assert batch_note(16, parts=1) == ""
    assert batch_note(16, parts=4) == "same batch, accumulated ×4 (batch norm over 4 images)"
    assert batch_note(16, parts=4, has_batch_norm=False) == "same batch, accumulated ×4"


def test_batch_norm_over_a_part_of_the_batch_is_off_protocol() -> None:
    on = judge(VOC, VOC, [], KEYS)
    assert with_norm_batch(on, 16, parts=1, has_batch_norm=True) == on
    assert with_norm_batch(on, 16, parts=4, has_batch_norm=False) == on
    off = with_norm_batch(on, 16, parts=4, has_batch_norm=True)
    assert (off.standing, off.difference) == ("off protocol", ["batch norm: over 16 images -> over 4"])
