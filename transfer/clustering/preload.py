"""Imports all that a clustering trial needs, so that trials can be forked from a process that has it already."""

import scipy.optimize  # noqa: F401
import sklearn.cluster
import sklearn.metrics.cluster  # noqa: F401

import transfer.classification.features
import transfer.classification.images
import transfer.clustering.assign
import transfer.clustering.metrics
import transfer.convert.prepare  # noqa: F401
