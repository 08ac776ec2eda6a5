"""Protocols as data, the labelled subset, and the schedule of fine-tuning."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from common.errors import UserError
from transfer import benchmarks
from transfer.classification.finetune import epoch_batches, lr_factor, random_shift, steps_per_epoch
from transfer.classification.images import few_labels, majority_top1
from transfer.classification.linear import topk_accuracy
from transfer.classification.protocol import (
    FinetuneProtocol,
    LinearProtocol,
    load_protocol,
    resolved,
)
from transfer.clustering.protocol import ClusterProtocol

KINDS = {"demo-linear": LinearProtocol, "demo-finetune": FinetuneProtocol, "demo-cluster": ClusterProtocol}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_every_protocol_loads_with_no_difference_and_resolves_to_json(name: str, kind: type) -> None:
    benchmark = benchmarks.get(name)
    protocol, difference = load_protocol(benchmark, ())
    assert type(protocol) is kind
    assert difference == []
    text = resolved(benchmark, protocol)
    assert json.loads(text)["benchmark"] == name
    assert text == resolved(benchmark, load_protocol(benchmark, ())[0])


def test_an_override_is_used_and_recorded() -> None:
    benchmark = benchmarks.get("demo-linear")
    protocol, difference = load_protocol(benchmark, ("labels_per_class=3", "val_fraction=0.2"))
    assert protocol.labels_per_class == 3
    assert difference == ["labels_per_class: 10 -> 3"]  # the other is the protocol's own value
    assert json.loads(resolved(benchmark, protocol))["labels_per_class"] == 3


@pytest.mark.parametrize("override", ["labels_per_clas=3", "labels_per_class=many", "labels_per_class"])
def test_a_wrong_override_is_a_user_error(override: str) -> None:
    with pytest.raises(UserError):
        load_protocol(benchmarks.get("demo-linear"), (override,))


def test_few_labels_are_even_without_repeats_and_depend_on_the_seed_alone() -> None:
    labels = np.repeat(np.arange(5), 20)
    rows = few_labels(labels, 4, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [4] * 5
    assert len(set(rows.tolist())) == 20
    assert (rows == few_labels(labels, 4, np.random.default_rng(0))).all()
    assert set(rows) != set(few_labels(labels, 4, np.random.default_rng(1)))


@pytest.mark.parametrize("per_class", [0, 21])
def test_more_labels_than_there_are_is_a_user_error(per_class: int) -> None:
    with pytest.raises(UserError, match="labels_per_class"):
        few_labels(np.repeat(np.arange(5), 20), per_class, np.random.default_rng(0))


def test_majority_class_is_that_of_the_training_labels() -> None:
    assert majority_top1(np.array([2, 2, 1]), np.array([1, 1, 1, 2])) == 0.25


def test_topk_counts_a_label_among_the_k_best() -> None:
    scores = np.array([[0.1, 0.5, 0.4], [0.9, 0.05, 0.05], [0.2, 0.3, 0.5]])
    labels = np.array([2, 0, 0])
    assert topk_accuracy(scores, labels, 1) == pytest.approx(1 / 3)
    assert topk_accuracy(scores, labels, 2) == pytest.approx(2 / 3)
    assert topk_accuracy(scores, labels, 3) == 1.0


def test_learning_rate_rises_then_falls_towards_zero() -> None:
    factors = [lr_factor(step, 40, 5) for step in range(40)]
    assert factors[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert factors[5] == 1.0
    assert all(before > after for before, after in itertools.pairwise(factors[5:]))
    assert 0 < factors[-1] < 0.01


def test_every_epoch_shows_each_image_at_most_once_in_whole_batches() -> None:
    protocol, _ = load_protocol(benchmarks.get("demo-finetune"), ("epochs=3", "batch_size=4"))
    batches = list(epoch_batches(11, protocol, np.random.default_rng(0)))
    assert len(batches) == 3 * steps_per_epoch(11, 4) == 6
    for epoch in range(3):
        rows = np.concatenate(batches[2 * epoch : 2 * epoch + 2])
        assert len(set(rows.tolist())) == 8
    assert steps_per_epoch(3, 4) == 1
    assert len(next(epoch_batches(3, protocol, np.random.default_rng(0)))) == 3


def test_shift_moves_content_and_repeats_the_border() -> None:
    images = torch.zeros(30, 3, 8, 8)
    images[:, :, 4, 4] = 1
    shifted = random_shift(images, 2, np.random.default_rng(0))
    assert shifted.shape == images.shape
    places = {tuple(place.tolist()[1:]) for image in shifted for place in image.nonzero()}
    assert len(places) > 8
    assert all(2 <= y <= 6 and 2 <= x <= 6 for y, x in places)
    assert (random_shift(torch.full((2, 3, 8, 8), 5.0), 2, np.random.default_rng(0)) == 5).all()
    assert random_shift(images, 0, np.random.default_rng(0)) is images
