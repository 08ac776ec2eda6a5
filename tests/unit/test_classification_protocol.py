"""Protocols as data, the labelled subset, and the schedule of fine-tuning."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from transfer import benchmarks
from transfer.tasks.classification.datasets.labelled import LabelledImages, few_labels
from transfer.tasks.classification.protocol import (
    FinetuneProtocol,
    HeadsProtocol,
    LinearProtocol,
    load_protocol,
    resolved,
)
from transfer.tasks.classification.scoring import floor, topk_accuracy
from transfer.tasks.clustering.protocol import ClusterProtocol
from twist_common.errors import UserError

FINETUNE = [f"{data}-{part}" for data in ("demo", "imagenet", "folder") for part in ("1pct", "10pct", "100pct")]
KINDS = {
    "demo-linear": LinearProtocol,
    "demo-cluster": ClusterProtocol,
    **dict.fromkeys(FINETUNE, FinetuneProtocol),
    **dict.fromkeys(("demo-heads", "imagenet-linear", "folder-linear"), HeadsProtocol),
}


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


@pytest.mark.parametrize("name", ["demo-linear", "imagenet-linear", "imagenet-1pct", "dtd-linear", "dtd-finetune"])
def test_evaluations_are_in_fp32_and_the_record_says_so(name: str) -> None:
    benchmark = benchmarks.get(name)
    protocol, _ = load_protocol(benchmark, ())
    assert json.loads(resolved(benchmark, protocol))["precision"] == "fp32"
    protocol, difference = load_protocol(benchmark, ("precision=bf16",))
    assert protocol.precision == "bf16" and difference == ["precision: fp32 -> bf16"]
    with pytest.raises(UserError, match="precision"):
        load_protocol(benchmark, ("precision=fp16",))


@pytest.mark.parametrize(
    "override", ["labels_per_clas=3", "labels_per_class=many", "labels_per_class", "max_iter=0", "tolerance=-1"]
)
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


def test_the_floor_is_the_most_frequent_training_class_or_how_frequent_each_is() -> None:
    def images(labels: list) -> LabelledImages:
        return LabelledImages(name="test", classes=("a", "b", "c"), labels=np.array(labels), read=Image.open)

    one_class = floor(np.array([2, 2, 1]), images([1, 1, 1, 2]), "top1")
    assert one_class == {"majority class": {"top1": 25.0}}
    several = floor(np.array([[1, 0, 0], [1, 1, -1]]), images([[1, 0, 0], [0, 1, 1]]), "map11")
    assert several == {"class frequencies": {"map11": 50.0}}  # of equal scores all are found at once


def test_topk_counts_a_label_among_the_k_best() -> None:
    scores = np.array([[0.1, 0.5, 0.4], [0.9, 0.05, 0.05], [0.2, 0.3, 0.5]])
    labels = np.array([2, 0, 0])
    assert topk_accuracy(scores, labels, 1) == pytest.approx(1 / 3)
    assert topk_accuracy(scores, labels, 2) == pytest.approx(2 / 3)
    assert topk_accuracy(scores, labels, 3) == 1.0
