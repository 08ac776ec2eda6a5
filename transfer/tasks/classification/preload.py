"""Imports everything that a classification trial needs, so that trials can be forked from a process that has it."""

import torch.utils.tensorboard  # noqa: F401

import transfer.tasks.classification.finetune_task
import transfer.tasks.classification.grid_task
import transfer.tasks.classification.heads_task
import transfer.tasks.classification.linear  # noqa: F401
