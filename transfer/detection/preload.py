"""Imports all that a detection trial needs, so that trials can be forked from a process that has it already."""

from transfer.compat import prepare_detectron2

prepare_detectron2()

import detectron2.checkpoint
import detectron2.data
import detectron2.engine
import detectron2.evaluation
import detectron2.modeling
import detectron2.solver  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

import transfer.detection.config
import transfer.detection.data
import transfer.detection.evaluate
import transfer.detection.trainer
import transfer.detection.weights  # noqa: F401
