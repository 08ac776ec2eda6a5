"""What a protocol takes from a user's own data: classes, files, and a schedule by epochs. Imports no framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.layouts import CocoBoxes, VocBoxes
from transfer.protocol_lock import BatchSchedule
from transfer.rows import DatasetRow, DenseDataset
from transfer.tasks.detection.splits import OWN_TEST, OWN_TRAIN
from transfer.tasks.own_files import described, schedule_for

# Epochs and the fewest iterations, by whether the backbone is frozen. VOC07+12 has 23 epochs and COCO 12; a quarter of
# them suffices for what is new. Below 2,000 steps of 16 images heads that begin from nothing are hardly trained: VOC's
# canary has half of that. Not more than the protocol of the public data set has. Our choice.
SCHEDULES = {False: {"epochs": 24, "fewest": 2000}, True: {"epochs": 6, "fewest": 500}}


def own_settings(data: DatasetRow, root: Path, protocol: BatchSchedule, *, is_frozen: bool) -> dict[str, Any]:
    """Settings in Detectron2's names, and ``OWN.*``, by which trials find the data and records name them.

    Args:
        data: a row of own data as :func:`transfer.doctor.own_data.completed` returns it.
        protocol: of the public data set, the longest that is trained.
    """
    assert isinstance(data, DenseDataset)
    layout = data.layouts[0]
    schedule = schedule_for(layout.num_train, protocol, **SCHEDULES[is_frozen])
    settings: dict[str, Any] = {
        "DATASETS.TRAIN": (OWN_TRAIN,),
        "DATASETS.TEST": (OWN_TEST,),
        "SOLVER.MAX_ITER": schedule.iterations,
        "SOLVER.STEPS": schedule.milestones,
        "OWN.DATA": described(data, root),
        "OWN.CONTENT": data.content,
        "OWN.REMARKS": list(data.remarks),
        "OWN.NUM_IMAGES": [layout.num_train, layout.num_test],
    }
    if isinstance(layout, CocoBoxes):
        train, test = ([each.annotations, each.images] for each in (layout.train, layout.test))
        form = "COCO"
        settings |= {
            "MODEL.MASK_ON": layout.has_masks,
            "INPUT.MASK_FORMAT": "bitmask" if layout.has_run_lengths else "polygon",
        }
    else:
        assert isinstance(layout, VocBoxes)
        train, test = ([each[0].folder, each[0].names] for each in (layout.train, layout.test))
        form = "VOC"
    names = list(layout.class_names)
    settings |= {"MODEL.ROI_HEADS.NUM_CLASSES": len(names), "OWN.CLASSES": names}
    return settings | {"OWN.FORM": form, "OWN.TRAIN": train, "OWN.TEST": test}


def set_nested(settings: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Writes ``"SOLVER.MAX_ITER"`` and the like into nested settings, in place."""
    for key, value in values.items():
        *groups, name = key.split(".")
        group = settings
        for each in groups:
            group = group.setdefault(each, {})
        group[name] = value
