"""Imports everything that a clustering trial needs, so that trials can be forked from a process that has it."""

import sklearn.cluster
import sklearn.metrics  # noqa: F401

import transfer.tasks.classification.datasets.image_folder
import transfer.tasks.clustering.task  # noqa: F401
