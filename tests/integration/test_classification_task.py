"""Classification trials on the embedded digits, through the real checkpoint reader, from start to metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.classification_trials import make_trial
from transfer.tasks.classification import task
from transfer.trial import Outcome
from twist_common.errors import UserError

QUICK_LINEAR = ("labels_per_class=5", "l2_grid=0.1,10")


@pytest.fixture
def run(digits: Path, tmp_path: Path) -> Callable[..., Outcome]:
    torch.set_num_threads(1)

    def run_trial(name: str, *overrides: str, seed: int = 0, data: Path = digits, steps: list | None = None) -> Outcome:
        def progress(done: int, total: int, what: str) -> None:
            if steps is not None:
                steps.append((done, total, what))

        return task.run(make_trial(name, *overrides, data=data, work_dir=tmp_path, seed=seed, progress=progress))

    return run_trial


def test_linear_trial_repeats_for_its_seed_and_beats_the_majority_class(run: Callable[..., Outcome]) -> None:
    steps: list[tuple[int, int, str]] = []
    first = run("demo-linear", *QUICK_LINEAR, steps=steps)
    again = run("demo-linear", *QUICK_LINEAR)
    assert first == again
    other = run("demo-linear", *QUICK_LINEAR, seed=1)  # other labels and another initialisation, same protocol
    assert other.metrics != first.metrics
    assert other.resolved_config == first.resolved_config
    top1, top5 = first.metrics["top1"].value, first.metrics["top5"].value
    assert first.references == {"majority class": {"top1": 10.0}}
    assert 40 < top1 < top5 <= 100  # random features with 5 labels a class: about 60
    assert first.protocol_difference[0] == "labels_per_class: 10 -> 5"
    assert json.loads(first.resolved_config)["l2_grid"] == [0.1, 10]
    assert {what for *_, what in steps} == {"features", "choosing l2", "fitting all"}
    assert all(0 < done <= total for done, total, _ in steps)


def test_missing_data_is_a_user_error(run: Callable[..., Outcome], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tools/demo_data\.sh"):
        run("demo-linear", data=tmp_path)
