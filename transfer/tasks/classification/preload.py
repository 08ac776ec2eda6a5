"""Imports all that a classification trial needs, so that trials can be forked from a process that has it already."""

import torch.utils.tensorboard  # noqa: F401

import transfer.tasks.classification.datasets
import transfer.tasks.classification.feature_cache
import transfer.tasks.classification.finetune
import transfer.tasks.classification.heads_training
import transfer.tasks.classification.linear
import transfer.tasks.classification.scoring
import transfer.weights.of_trial  # noqa: F401
