"""Imports all that a classification trial needs, so that trials can be forked from a process that has it already."""

import torch.utils.tensorboard  # noqa: F401

import transfer.classification.datasets
import transfer.classification.feature_cache
import transfer.classification.finetune
import transfer.classification.heads_training
import transfer.classification.linear
import transfer.classification.scoring
import transfer.convert.prepare  # noqa: F401
