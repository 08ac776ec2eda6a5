"""Unsupervised classification. Importing this imports no torch."""

from __future__ import annotations

from transfer.tasks.classification import Classification
from transfer.trial import Outcome, Trial


class Clustering(Classification):
    """Trials that score clusters of test images; their protocols are read and planned as classification's are."""

    preload = "transfer.tasks.clustering.preload"
    metrics = "NMI, AMI (by the mean, and by the maximum), ARI, ACC, top-5, silhouette"
    picture_sides = "clusters beside the labels, which took no part in making them"

    def run(self, trial: Trial) -> Outcome:
        from transfer.tasks.clustering.task import run

        return run(trial)


TASK = Clustering()
