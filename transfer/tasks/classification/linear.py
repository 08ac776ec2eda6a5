"""Linear classification on frozen features: l2 chosen on validation images, then fits on all labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer.record import Metric
from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets import splits_of
from transfer.tasks.classification.datasets.labelled import LabelledImages, Splits, few_labels, held_out
from transfer.tasks.classification.feature_cache import FeatureCache
from transfer.tasks.classification.logistic import Solution, fit_path, mean_loss
from transfer.tasks.classification.protocol import LinearProtocol, data_facts, resolved, val_fraction
from transfer.tasks.classification.scoring import MAIN_METRICS, figures, floor, outcomes
from transfer.trial import Outcome, Trial

OBJECTIVE = "mean cross-entropy + l2 / 2 * |W|^2, biases free, features as they are"


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What may be used before the final scoring.

    Attributes:
        features: (N, D) of training and validation images.
        labels: (N,), or (N, C) as :class:`transfer.tasks.classification.datasets.labelled.LabelledImages` has them.
        is_val: (N,), which of them are for validation.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.integer]
    is_val: NDArray[np.bool_]
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The l2 that was best on the validation images; ``score`` is the main metric there, as a fraction."""

    l2: float
    score: float
    loss: float


def run(trial: Trial, protocol: LinearProtocol, difference: list[str]) -> Outcome:
    """Features, l2 chosen on validation images, fits on all labelled images, and one look at the test images.

    Raises:
        UserError: a bad checkpoint or data folder.
        RuntimeError: the classifier that is scored has not converged.
    """
    splits = splits_of(trial)
    row, num_fits = splits.row, len(protocol.l2_grid)
    cache = FeatureCache.of_trial(trial, protocol)

    def extract(images: LabelledImages) -> NDArray[np.float32]:
        return cache.features(images, trial.data, done=lambda rows: trial.progress(rows, len(images), "features"))

    labelled = _labelled(splits, protocol, trial.seed, extract)
    choice = choose_l2(
        labelled,
        protocol,
        row.metric,
        device=trial.device,
        done=lambda fits: trial.progress(fits, num_fits, "choosing l2"),
    )
    path: dict[float, Solution] = {}
    for solution in refit(labelled, protocol, device=trial.device):
        path[solution.l2] = solution
        trial.progress(len(path), num_fits, "fitting all")
    chosen = converged(path[choice.l2], protocol)
    test = splits.test.open()
    features = extract(test)
    # The figures that every l2 would have given; all but one of them are for the inflated reference alone.
    scored = {l2: figures(solution.scores(features), test.labels, row.metric) for l2, solution in path.items()}
    return Outcome(
        metrics={name: Metric(value=value) for name, value in scored[choice.l2].items()},
        references=floor(labelled.labels, test, row.metric),
        test_scorings=splits.test.scorings,
        outcomes=outcomes(chosen.scores(features), test.labels, row.metric),
        inflated={row.metric: max(values[row.metric] for values in scored.values())},
        choices={
            "l2": choice.l2,
            "val_score": 100 * choice.score,
            "val_loss": choice.loss,
            "num_values": len(path),
            "iterations": chosen.iterations,
            "gradient_norm": chosen.gradient_norm,
            "largest_gradient_norm": max(solution.gradient_norm for solution in path.values()),
            "iterations_of_path": sum(solution.iterations for solution in path.values()),
            "num_not_converged": sum(not solution.is_converged for solution in path.values()),
        },
        resolved_config=resolved(trial.benchmark, protocol, **data_facts(protocol, row), objective=OBJECTIVE),
        protocol_difference=difference,
        arch=cache.backbone.arch,
        source_format=cache.backbone.source_format,
    )


def _labelled(
    splits: Splits, protocol: LinearProtocol, seed: int, extract: Callable[[LabelledImages], NDArray[np.float32]]
) -> Labelled:
    """Training and validation images; the seed draws what the data set does not fix."""
    train, val, per_class = splits.train, splits.val, protocol.labels_per_class
    if per_class is not None:
        rows = few_labels(train.labels, per_class, rng(seed, Stream.LABELS))
        train = train.subset(rows, f"{train.name} {per_class} a class seed {seed}")
    features, labels = extract(train), train.labels
    if val is None:
        is_val = held_out(labels, val_fraction(protocol, splits.row), rng(seed, Stream.HELD_OUT))
    else:
        is_val = np.repeat([False, True], [len(train), len(val)])
        features, labels = np.concatenate([features, extract(val)]), np.concatenate([labels, val.labels])
    return Labelled(features=features, labels=labels, is_val=is_val, num_classes=len(train.classes))


def choose_l2(
    labelled: Labelled,
    protocol: LinearProtocol,
    metric: str,
    *,
    device: str,
    done: Callable[[int], None] = lambda fits: None,
) -> Choice:
    """Fits the training images with every l2 and takes the one that is best on the validation images.

    Best is the highest metric (``choose_by="metric"``), ties going to the lower loss; or the lowest loss. What ties in
    both goes to the stronger l2.

    Args:
        metric: a key of :data:`transfer.tasks.classification.scoring.MAIN_METRICS`.
        done: called with the number of fits done.
    """
    features, labels = labelled.features[labelled.is_val], labelled.labels[labelled.is_val]
    choices = []
    for solution in _path(labelled, ~labelled.is_val, protocol, device):
        scores = solution.scores(features)
        value = MAIN_METRICS[metric](scores, labels)
        choices.append(Choice(l2=solution.l2, score=value, loss=mean_loss(scores, labels)))
        done(len(choices))
    if protocol.choose_by == "loss":
        return min(choices, key=lambda choice: choice.loss)
    return min(choices, key=lambda choice: (-choice.score, choice.loss))


def refit(labelled: Labelled, protocol: LinearProtocol, *, device: str) -> Iterator[Solution]:
    """Fits all labelled images, validation images included, with every l2 from the strongest to the weakest."""
    return _path(labelled, np.ones_like(labelled.is_val), protocol, device)


def converged(solution: Solution, protocol: LinearProtocol) -> Solution:
    """The solution, which is about to be scored.

    Raises:
        RuntimeError: it has not converged.
    """
    if not solution.is_converged:
        raise RuntimeError(
            f"the fit with l2 = {solution.l2:g} stopped after {solution.iterations} iterations at a relative gradient "
            f"norm of {solution.gradient_norm:.1e}, not {protocol.tolerance:g}: raise max_iter or tolerance"
        )
    return solution


def _path(labelled: Labelled, rows: NDArray[np.bool_], protocol: LinearProtocol, device: str) -> Iterator[Solution]:
    return fit_path(
        labelled.features[rows],
        labelled.labels[rows],
        labelled.num_classes,
        protocol.l2_grid,
        tolerance=protocol.tolerance,
        max_iter=protocol.max_iter,
        device=device,
    )
