"""Classification by the nearest training images, as DINO evaluates frozen features: nothing is trained or chosen.

Follows github.com/facebookresearch/dino/blob/7c446df5b9f45747937fb0d72314eb9f7b66930a/eval_knn.py: the most similar
training images vote for their classes, each with the weight exp(cosine similarity / temperature).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from transfer.record import Metric
from transfer.tasks.classification.datasets import splits_of
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.feature_cache import FeatureCache
from transfer.tasks.classification.protocol import KnnProtocol, resolved
from transfer.tasks.classification.scoring import figures, floor, outcomes
from transfer.trial import Outcome, Trial
from twist_common.errors import UserError

SIMILARITIES = 2**27  # at a time: half a gigabyte


def run(trial: Trial, protocol: KnnProtocol, difference: list[str]) -> Outcome:
    """Features of all images, and the votes for each test image.

    Raises:
        UserError: a bad checkpoint or data folder, or fewer training images than neighbours.
    """
    splits = splits_of(trial)
    row, train = splits.row, splits.train
    cache = FeatureCache.of_trial(trial, protocol)

    def extract(images: LabelledImages) -> NDArray[np.float32]:
        return cache.features(images, trial.data, done=lambda rows: trial.progress(rows, len(images), "features"))

    if protocol.num_neighbors > len(train):
        raise UserError(
            f"num_neighbors={protocol.num_neighbors}, but {train.name} has {len(train)} images: choose from 1 to that"
        )
    features = extract(train)
    test = splits.test.open()
    scores = votes(
        features,
        train.labels,
        extract(test),
        protocol,
        num_classes=len(train.classes),
        device=trial.device,
        done=lambda rows: trial.progress(rows, len(test), "neighbours"),
    )
    return Outcome(
        metrics={name: Metric(value=value) for name, value in figures(scores, test.labels, row.metric).items()},
        references=floor(train.labels, test, row.metric),
        test_scorings=splits.test.scorings,
        outcomes=outcomes(scores, test.labels, row.metric),
        resolved_config=resolved(trial.benchmark, protocol, dataset=row.name, metric=row.metric),
        protocol_difference=difference,
        arch=cache.backbone.arch,
        source_format=cache.backbone.source_format,
    )


def votes(
    train: NDArray[np.float32],
    labels: NDArray[np.integer],
    test: NDArray[np.float32],
    protocol: KnnProtocol,
    *,
    num_classes: int,
    device: str,
    done: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float64]:
    """The sum of the neighbours' weights for each class.

    Args:
        train: (N, D) features, which need not have length 1.
        labels: (N,) of ``train``.
        test: (M, D).
        done: called with the number of test images done.

    Returns:
        (M, num_classes).
    """
    known = torch.from_numpy(train).to(device, copy=True)
    functional.normalize(known, out=known)  # in place: there is not always room for them twice
    classes = torch.from_numpy(labels).to(device, torch.int64)
    scores = np.zeros((len(test), num_classes))
    rows = max(1, SIMILARITIES // len(train))
    for start in range(0, len(test), rows):
        part = functional.normalize(torch.from_numpy(test[start : start + rows]).to(device))
        similarity, neighbors = (part @ known.T).topk(protocol.num_neighbors)
        weights = (similarity.double() / protocol.temperature).exp()
        summed = torch.zeros(len(part), num_classes, dtype=torch.float64, device=device)
        scores[start : start + rows] = summed.scatter_add_(1, classes[neighbors], weights).cpu().numpy()
        done(min(start + rows, len(test)))
    return scores
