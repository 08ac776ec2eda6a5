"""What a protocol takes from a user's own masks: classes, files, and a schedule by epochs. Imports no framework."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.layouts import OwnMasks
from transfer.protocol_lock import BatchSchedule
from transfer.rows import DatasetRow, DenseDataset
from transfer.tasks.own_files import described, schedule_for
from transfer.tasks.segmentation.masks import palette

if TYPE_CHECKING:
    from mmengine.config import Config

# Epochs and the fewest iterations, by whether the backbone is frozen: VOC12's in voc.py and voc_frozen.py, and as few
# iterations as detection on own data has, or a fifth of them. Our choice.
SCHEDULES = {False: {"epochs": 30, "fewest": 2000}, True: {"epochs": 6, "fewest": 400}}


def fit_to(protocol: Config, data: DatasetRow, root: Path, schedule: BatchSchedule) -> BatchSchedule:
    """Sets the protocol's classes and data, in place, and returns its schedule on them.

    Args:
        protocol: of a public data set, which gives all else.
        data: a row of own masks as :func:`transfer.doctor.own_data.completed` returns it.
        schedule: the protocol's, the longest that is trained.
    """
    assert isinstance(data, DenseDataset)
    (layout,) = data.layouts
    assert isinstance(layout, OwnMasks)
    protocol.own = {"data": described(data, root), "content": data.content, "remarks": list(data.remarks)}
    protocol.num_images = {"train": layout.num_train, "test": layout.num_test}
    protocol.model.decode_head.num_classes = len(layout.class_names)
    metainfo = {"classes": list(layout.class_names), "palette": palette(layout.values)}
    for loader, part in ((protocol.train_dataloader, layout.train), (protocol.test_dataloader, layout.test)):
        pipeline = [dict(step) for step in loader.dataset.get("datasets", [loader.dataset])[0].pipeline]
        for step in pipeline:
            if step["type"] == "LoadAnnotations":
                step.update(type="LoadOwnMask", values=list(layout.values), ignored=list(layout.ignored))
        dataset: dict[str, Any] = {
            "type": "OwnMasksDataset",
            "metainfo": metainfo,
            "data_root": ".",
            "data_prefix": {"img_path": part.images, "seg_map_path": part.masks},
            "ann_file": part.names,
            "ending": part.ending,
            "pipeline": pipeline,
        }
        loader.dataset = dataset | ({"test_mode": True} if loader is protocol.test_dataloader else {})
    backbone = protocol.model.backbone
    is_frozen = backbone.get("frozen_stages") == 4 or bool(backbone.get("frozen"))
    fitted = schedule_for(layout.num_train, schedule, **SCHEDULES[is_frozen])
    decay_begins = fitted.milestones[0]  # where the warm-up ends, if there is one
    return replace(fitted, warmup_iterations=decay_begins)
