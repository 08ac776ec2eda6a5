"""Votes of nearest neighbours against a plain implementation in double precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.classification_trials import make_trial
from transfer import benchmarks
from transfer.commands.report import write_report
from transfer.doctor.check import examine
from transfer.planner.devices import Machine
from transfer.planner.planning import Planner
from transfer.preflight.canary import RANDOM, missed
from transfer.record import TrialRecord
from transfer.tasks.classification import knn, task
from transfer.tasks.classification.protocol import KnnProtocol
from transfer.trials.plan import plan_trials, weights_ref
from transfer.trials.run_one import run_trial
from twist_common.errors import UserError

NUM_CLASSES = 7


def plain(train: NDArray, labels: NDArray, test: NDArray, k: int, temperature: float) -> NDArray[np.float64]:
    scores = np.zeros((len(test), NUM_CLASSES))
    for row, image in enumerate(test.astype(np.float64)):
        similarity = [
            image @ other / np.linalg.norm(image) / np.linalg.norm(other) for other in train.astype(np.float64)
        ]
        for place in sorted(range(len(train)), key=lambda place: -similarity[place])[:k]:
            scores[row, labels[place]] += np.exp(similarity[place] / temperature)
    return scores


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (50, 1.0)])
def test_votes_equal_a_plain_implementation(k: int, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(k)
    train, test = (rng.normal(size=(rows, 16)).astype(np.float32) for rows in (200, 45))
    labels = rng.integers(0, NUM_CLASSES, 200)
    protocol = KnnProtocol(num_neighbors=k, temperature=temperature, resize=None, crop=None, batch_size=1)
    expected = plain(train, labels, test, k, temperature)
    for rows in (1000, 8):  # all at once, and in parts
        monkeypatch.setattr(knn, "SIMILARITIES", rows * len(train))
        done: list[int] = []
        scores = knn.votes(train, labels, test, protocol, num_classes=NUM_CLASSES, device="cpu", done=done.append)
        np.testing.assert_allclose(scores, expected, rtol=1e-5)  # of similarities in single precision, over 0.07
        assert (scores.argmax(axis=1) == expected.argmax(axis=1)).all()
        assert done[-1] == len(test)


def test_the_digits_go_through_doctor_plan_trial_and_report(digits: Path, tmp_path: Path) -> None:
    benchmark = benchmarks.get("demo-knn")
    assert not examine(benchmark.dataset, digits).kinds()
    (plan,) = plan_trials(
        runs=tmp_path / "runs",
        suite="demo",
        benchmarks=[benchmark],
        weights=[weights_ref("random:resnet18")],
        seeds=[0],
        data=digits,
    )
    machine = Machine(device="cpu", name="a CPU", num_devices=1)
    (row,) = Planner(past_trials=(), machine=machine).plan([plan]).rows
    assert (row.arch, row.num_to_run) == ("resnet18", 1)

    run_trial(plan, lambda *step: None)
    record = TrialRecord.load(plan.record_path)
    assert (record.status, record.protocol_difference) == ("done", []), record.error
    assert record.metrics.keys() >= {"top1", "top5"}
    assert record.metrics["top1"].value > max(floor["top1"] for floor in record.references.values()) + 20
    assert [scoring["num_images"] for scoring in record.test_scorings] == [1000]
    assert json.loads(record.resolved_config)["num_neighbors"] == 20
    assert missed(benchmark, {RANDOM: record.metrics["top1"].value}) is None

    _, page = write_report([tmp_path / "runs"])
    assert benchmark.title in page.with_suffix(".md").read_text()


def test_more_neighbours_than_training_images_are_refused(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_neighbors=5000, but cls-digits train has 4000 images"):
        task.run(make_trial("demo-knn", "num_neighbors=5000", data=digits, work_dir=tmp_path, arch="resnet18"))
