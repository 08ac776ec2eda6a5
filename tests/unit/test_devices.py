"""Which trial gets which device."""

from __future__ import annotations

import importlib

import pytest

from transfer.benchmarks import CLASSIFICATION, CLUSTERING, DETECTION, SEGMENTATION
from transfer.task import Task
from transfer.trials.devices import DevicePool, gpus_per_trial
from twist_common.errors import UserError


def task(package: str) -> Task:
    found: Task = importlib.import_module(package).TASK
    return found


def test_dense_trials_have_all_gpus_and_the_others_one() -> None:
    counts = {name: gpus_per_trial(task(name), 8) for name in (DETECTION, SEGMENTATION, CLASSIFICATION, CLUSTERING)}
    assert counts == {DETECTION: 8, SEGMENTATION: 8, CLASSIFICATION: 1, CLUSTERING: 1}
    assert gpus_per_trial(task(DETECTION), 8, 2) == gpus_per_trial(task(CLUSTERING), 8, 2) == 2


@pytest.mark.parametrize("asked", [0, -1, 9])
def test_gpus_that_are_not_there_are_refused(asked: int) -> None:
    with pytest.raises(UserError, match=f"--gpus-per-trial is {asked}: give a number from 1 to 8"):
        gpus_per_trial(task(CLASSIFICATION), 8, asked)


def test_no_device_has_two_trials_and_every_one_comes_back() -> None:
    pool = DevicePool("abcd")
    first, second = pool.take(1), pool.take(2)
    assert (first, second) == (("a",), ("b", "c"))
    assert pool.take(2) is None  # one is free: a big trial waits, a small one goes
    assert pool.take(1) == ("d",)
    pool.give_back(("b", "c"))
    pool.give_back(("a",))
    assert pool.take(3) == ("a", "b", "c")


def test_jobs_limit_the_trials_at_a_time() -> None:
    pool = DevicePool("abcd", jobs=2)
    taken = pool.take(1)
    assert taken and pool.take(1) and pool.take(1) is None
    pool.give_back(taken)
    assert pool.take(1) == ("a",)
