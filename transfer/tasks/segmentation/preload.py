"""Imports everything that a segmentation trial needs, so that trials can be forked from a process that has it."""

from __future__ import annotations

from transfer import compat

compat.prepare_mmseg()

import mmengine.runner  # noqa: E402, F401
import mmseg.datasets  # noqa: E402
import mmseg.engine  # noqa: E402
import mmseg.evaluation  # noqa: E402
import mmseg.models  # noqa: E402
import mmseg.visualization  # noqa: E402, F401
import torch.utils.tensorboard  # noqa: E402, F401

import transfer.tasks.segmentation.task  # noqa: E402, F401
