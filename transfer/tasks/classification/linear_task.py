"""Linear classification on frozen features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transfer.record import Metric
from transfer.tasks.classification.protocol import LinearProtocol, resolved
from transfer.trial import Outcome, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from transfer.tasks.classification.labelled import LabelledImages, Splits
    from transfer.tasks.classification.linear import Choice, Labelled
    from transfer.tasks.classification.logistic import Solution

OBJECTIVE = "mean cross-entropy + l2 / 2 * |W|^2, biases free, features as they are"

# of images to (N, D) features
Extract = Callable[["LabelledImages"], "NDArray[np.float32]"]


def run(trial: Trial, protocol: LinearProtocol, difference: list[str]) -> Outcome:
    """Features, l2 chosen on validation images, fits on all labelled images, and one look at the test images.

    Raises:
        UserError: a bad checkpoint or data folder.
        RuntimeError: the classifier that is scored has not converged.
    """
    from transfer.tasks.classification.datasets import open_splits, row_of
    from transfer.tasks.classification.linear import choose_l2, refit
    from transfer.tasks.classification.scoring import floor
    from transfer.weights.of_trial import torch_backbone

    row = row_of(trial.benchmark)
    splits = open_splits(row, trial.data)
    module, backbone = torch_backbone(trial)
    extract = _extractor(trial, protocol, module, backbone)
    val_fraction = row.val_fraction if protocol.val_fraction is None else protocol.val_fraction
    labelled = _labelled(splits, protocol.labels_per_class, val_fraction, trial.seed, extract)
    num_fits = len(protocol.l2_grid)
    choice = choose_l2(
        labelled,
        protocol,
        row.metric,
        device=trial.device,
        done=lambda fits: trial.progress(fits, num_fits, "choosing l2"),
    )
    path = refit(
        labelled, protocol, device=trial.device, done=lambda fits: trial.progress(fits, num_fits, "fitting all")
    )
    _check_converged(path[choice.l2], protocol)
    test = splits.test.open()
    scored = _score(path, extract(test), test, row.metric)
    return Outcome(
        metrics={name: Metric(value=value) for name, value in scored[choice.l2].items()},
        references=floor(labelled.labels, test, row.metric),
        test_scorings=splits.test.scorings,
        inflated={row.metric: max(figures[row.metric] for figures in scored.values())},
        choices=_choices(choice, path),
        resolved_config=resolved(
            trial.benchmark,
            protocol,
            dataset=row.name,
            metric=row.metric,
            val_images="official" if row.official_val else f"{val_fraction:.4g} of train",
            split_rule=row.split_rule,
            objective=OBJECTIVE,
        ),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )


def _extractor(trial: Trial, protocol: LinearProtocol, module: Any, backbone: Any) -> Extract:
    from transfer.tasks.classification.feature_cache import FeatureCache
    from transfer.tasks.classification.transforms import CenterCrop

    cache = FeatureCache(
        folder=trial.weights_dir / "features",
        module=module,
        backbone=backbone,
        view=CenterCrop(resize=protocol.resize, crop=protocol.crop),
        batch_size=protocol.batch_size,
        device=trial.device,
    )

    def extract(images: LabelledImages) -> NDArray[np.float32]:
        return cache.features(images, trial.data, done=lambda rows: trial.progress(rows, len(images), "features"))

    return extract


def _labelled(
    splits: Splits, labels_per_class: int | None, val_fraction: float, seed: int, extract: Extract
) -> Labelled:
    """Training and validation images; the seed draws what the data set leaves open."""
    import numpy as np

    from transfer.tasks.classification.holdout import held_out
    from transfer.tasks.classification.label_subset import LABEL_STREAM, few_labels
    from transfer.tasks.classification.linear import Labelled

    train, val = splits.train, splits.val
    if labels_per_class is not None:
        rng = np.random.default_rng([seed, LABEL_STREAM])
        rows = few_labels(train.labels.astype(np.int64), labels_per_class, rng)
        train = train.subset(rows, f"{train.name} {labels_per_class} a class seed {seed}")
    features, labels = extract(train), train.labels
    if val is None:
        is_val = held_out(labels, val_fraction, seed)
    else:
        is_val = np.repeat([False, True], [len(train), len(val)])
        features, labels = np.concatenate([features, extract(val)]), np.concatenate([labels, val.labels])
    return Labelled(features=features, labels=labels, is_val=is_val, num_classes=len(train.classes))


def _check_converged(solution: Solution, protocol: LinearProtocol) -> None:
    if not solution.is_converged:
        raise RuntimeError(
            f"the fit with l2 = {solution.l2:g} stopped after {solution.iterations} iterations at a relative gradient "
            f"norm of {solution.gradient_norm:.1e}, not {protocol.tolerance:g}: raise max_iter or tolerance"
        )


def _score(
    path: dict[float, Solution], features: NDArray[np.float32], test: LabelledImages, metric: str
) -> dict[float, dict[str, float]]:
    """The figures that every l2 would have given; all but one of them are for the inflated reference alone."""
    from transfer.tasks.classification.metrics import figures

    return {l2: figures(solution.scores(features), test.labels, metric) for l2, solution in path.items()}


def _choices(choice: Choice, path: dict[float, Solution]) -> dict[str, Any]:
    chosen = path[choice.l2]
    return {
        "l2": choice.l2,
        "val_score": 100 * choice.score,
        "val_loss": choice.loss,
        "num_values": len(path),
        "iterations": chosen.iterations,
        "gradient_norm": chosen.gradient_norm,
        "largest_gradient_norm": max(solution.gradient_norm for solution in path.values()),
        "iterations_of_path": sum(solution.iterations for solution in path.values()),
        "num_not_converged": sum(not solution.is_converged for solution in path.values()),
    }
