"""Imports everything that a detection trial needs, so that trials can be forked from a process that has it."""

import torch.utils.tensorboard  # noqa: F401

import transfer.tasks.detection.task  # noqa: F401
