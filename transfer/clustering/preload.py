"""Imports all that a clustering trial needs, so that trials can be forked from a process that has it already."""

import sklearn.cluster
import sklearn.metrics  # noqa: F401

import transfer.classification.datasets.image_folder
import transfer.clustering.clusterer
import transfer.clustering.pictures
import transfer.clustering.scoring
import transfer.convert.prepare  # noqa: F401
