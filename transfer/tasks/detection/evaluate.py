"""Tests a model with Detectron2's evaluator for VOC or ours for COCO, and keeps the figures of a trial."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, MetadataCatalog, build_detection_test_loader
from detectron2.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    PascalVOCDetectionEvaluator,
    inference_on_dataset,
    pascal_voc_evaluation,
)
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from torch import nn

from transfer.outcomes.file import packed
from transfer.outcomes.objects import Matches
from transfer.tasks.detection.coco_files import read_coco
from transfer.tasks.detection.coco_metrics import IouType, coco_figures, stdout_to_log
from transfer.tasks.detection.data import load_test_dicts, register_dataset, scored_labels, splits_of
from transfer.tasks.detection.matches import coco_matches, voc_matches
from transfer.tasks.detection.splits import VocSplit
from twist_common.shared_memory import without_lost_batches

TASK_PREFIX = {"bbox": "box", "segm": "mask"}
METRICS = {"AP": "ap", "AP50": "ap50", "AP75": "ap75"}


class NothingDetectedError(RuntimeError):
    """The model detected nothing in the whole test set.

    Detectron2's COCO evaluator returns NaN then, its VOC evaluator 0.0; the training has failed in both cases.
    """


class _Count(DatasetEvaluator):
    """Counts images and detections, over all processes, and reports progress."""

    def __init__(self, num_images: int, progress: Callable[[int, int], None]) -> None:
        self._num_images = num_images
        self._progress = progress

    def reset(self) -> None:
        self._images = self._detections = self.num_detections = 0

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        self._images += len(inputs)
        self._detections += sum(len(output["instances"]) for output in outputs)
        seen = min(self._images * comm.get_world_size(), self._num_images)
        if seen == self._num_images or self._images % 20 == 0:
            self._progress(seen, self._num_images)

    def evaluate(self) -> None:
        self.num_detections = sum(comm.all_gather(self._detections))


def evaluate(
    cfg: CfgNode, model: nn.Module, root: Path, progress: Callable[[int, int], None]
) -> tuple[dict[str, float], bytes]:
    """Tests the model on the config's test set, with the evaluator of its kind of data.

    Args:
        cfg: the trial's config.
        model: a Detectron2 model; it is in eval mode meanwhile.
        root: the data root.
        progress: called with (images done, images in all) in the main process.

    Returns:
        ``box_ap``, ``box_ap50``, ``box_ap75`` and, with MASK_ON, ``mask_ap`` and so on, in percent; NaN where the
        evaluator says so; and the outcomes of the images (:func:`transfer.outcomes.file.packed`). Both are empty in
        processes other than the main one.

    Raises:
        NothingDetectedError: in every process, if there was no detection in any test image.
    """
    (name,) = cfg.DATASETS.TEST
    dicts = load_test_dicts(cfg, root)
    loader = without_lost_batches(
        build_detection_test_loader(
            dicts, mapper=DatasetMapper(cfg, is_train=False), num_workers=cfg.DATALOADER.NUM_WORKERS
        )
    )
    count = _Count(len(dicts), progress if comm.is_main_process() else lambda done, total: None)
    registered = register_dataset(name, root, cfg)
    scorer: VocEvaluator | CocoEvaluator
    if isinstance(splits_of(cfg)[name], VocSplit):
        scorer = VocEvaluator(registered, dicts)
    else:
        scorer = CocoEvaluator(registered, ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",), oracle=cfg.EVAL.ORACLE)
    with stdout_to_log():
        # in this order: the processes compare their counts before the main one is busy with COCO's evaluation
        results = inference_on_dataset(model, loader, DatasetEvaluators([count, scorer]))
    if count.num_detections == 0:
        raise NothingDetectedError(f"the model detected nothing in {len(dicts)} test images: its training has failed")
    return collect_metrics(results), packed(scorer.outcomes) if scorer.outcomes else b""


class VocEvaluator(PascalVOCDetectionEvaluator):
    """Detectron2's evaluation of VOC, over the classes that have an object to find.

    It is given the objects as :mod:`transfer.tasks.detection.voc_files` reads them, and numbers in place of the images'
    names, which it would split at spaces. A class without an object to find, which has no average precision, would
    enter its mean as 0.

    Args:
        registered: a VOC data set's name in Detectron2's catalogs.
        dicts: its images.
    """

    outcomes: Matches | None = None
    _class_names: list[str]
    _predictions: dict[int, list[str]]

    def __init__(self, registered: str, dicts: Sequence[dict[str, Any]]) -> None:
        super().__init__(registered)
        self._scored = sorted(scored_labels(dicts))
        self._titles = list(self._class_names)
        self._number = {image["image_id"]: str(number) for number, image in enumerate(dicts)}
        self._objects = {
            self._number[image["image_id"]]: [self._object(each) for each in image["annotations"]] for image in dicts
        }

    def _object(self, annotation: dict[str, Any]) -> dict[str, Any]:
        x0, y0, x1, y1 = annotation["bbox"]
        return {
            "name": self._titles[annotation["category_id"]],
            "bbox": [x0 + 1, y0 + 1, x1, y1],
            "difficult": int(annotation["difficult"]),
        }

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        super().process([{**image, "image_id": self._number[image["image_id"]]} for image in inputs], outputs)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """``{"bbox": {"AP": ..., "AP50": ..., "AP75": ...}}`` in percent; None in other processes."""
        gathered: list[dict[int, list[str]]] = comm.gather(dict(self._predictions), dst=0)
        if comm.is_main_process():
            self.outcomes = voc_matches(
                [[line for found in gathered for line in found.get(label, [])] for label in self._scored],
                list(self._objects.values()),
                [self._titles[label] for label in self._scored],
                "voc2007" if self._is_2007 else "voc2012",
            )
        self._predictions = {place: self._predictions.get(label, []) for place, label in enumerate(self._scored)}
        self._class_names = [self._titles[label] for label in self._scored]
        parser = pascal_voc_evaluation.parse_rec
        with tempfile.NamedTemporaryFile("w") as names:
            names.write("\n".join(self._objects))
            names.flush()
            self._image_set_path, self._anno_file_template = names.name, "{}"
            pascal_voc_evaluation.parse_rec = self._objects.__getitem__
            try:
                figures: dict[str, dict[str, float]] | None = super().evaluate()
            finally:
                pascal_voc_evaluation.parse_rec = parser
        return figures


class CocoEvaluator(DatasetEvaluator):
    """Detectron2's COCO evaluation of boxes and masks, its figures by :func:`coco_figures`.

    Args:
        registered: a COCO data set's name in Detectron2's catalogs.
        oracle: whether pycocotools computes them.
    """

    def __init__(self, registered: str, iou_types: tuple[IouType, ...], *, oracle: bool) -> None:
        self._metadata = MetadataCatalog.get(registered)
        self._iou_types = iou_types
        self._oracle = oracle
        self.reset()

    def reset(self) -> None:
        self._detections: list[dict[str, Any]] = []
        self.outcomes: Matches | None = None

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        for image, output in zip(inputs, outputs, strict=True):
            self._detections += instances_to_coco_json(output["instances"].to("cpu"), image["image_id"])

    def evaluate(self) -> dict[str, dict[str, float]]:
        """``{"bbox": {"AP": ..., "AP50": ..., "AP75": ...}, "segm": ...}`` in percent; empty in other processes."""
        gathered = comm.gather(self._detections, dst=0)
        if not comm.is_main_process():
            return {}
        ids = {ours: theirs for theirs, ours in self._metadata.thing_dataset_id_to_contiguous_id.items()}
        detections = [
            {**detection, "category_id": ids[detection["category_id"]]}
            for detection in itertools.chain.from_iterable(gathered)
            if detection["category_id"] in ids  # a class of own data that this file does not have
        ]
        ground_truth, _ = read_coco(Path(self._metadata.json_file))
        if ground_truth["annotations"]:
            self.outcomes = coco_matches(ground_truth, detections, self._iou_types)
        results: dict[str, dict[str, float]] = {}
        for iou_type in self._iou_types:
            figures = coco_figures(ground_truth, detections, iou_type, oracle=self._oracle)
            results[iou_type] = {name: 100 * figures[metric] for name, metric in METRICS.items()}
        return results


def collect_metrics(results: dict[str, dict[str, float]]) -> dict[str, float]:
    """The evaluators' ``{"bbox": {"AP": ...}, "segm": ...}`` to ``box_ap`` and so on; other figures are left out."""
    return {
        f"{prefix}_{metric}": float(results[task][name])
        for task, prefix in TASK_PREFIX.items()
        if task in results
        for name, metric in METRICS.items()
    }
