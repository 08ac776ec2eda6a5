"""A classification trial: its protocol says which of the procedures is run."""

from __future__ import annotations

import importlib

from transfer.tasks.classification.protocol import load_protocol
from transfer.trial import Outcome, Trial

# protocol to the module that has ``run(trial, protocol, difference) -> Outcome``
PROCEDURES = {
    "LinearProtocol": "transfer.tasks.classification.linear",
    "KnnProtocol": "transfer.tasks.classification.knn",
    "HeadsProtocol": "transfer.tasks.classification.heads_task",
    "GridProtocol": "transfer.tasks.classification.grid_task",
    "FinetuneProtocol": "transfer.tasks.classification.finetune_task",
}


def run(trial: Trial) -> Outcome:
    """Runs the benchmark's procedure: choices on validation images, then one look at the test images.

    Raises:
        UserError: a bad checkpoint, override or data folder.
    """
    protocol, difference = load_protocol(trial.benchmark, trial.overrides)
    procedure = importlib.import_module(PROCEDURES[type(protocol).__name__])
    return procedure.run(trial, protocol, difference)
