"""Data sets by name, and training batches that are a pure function of the seed and the iteration."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    DatasetMapper,
    MetadataCatalog,
    detection_utils,
    get_detection_dataset_dicts,
)
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from PIL import Image

from transfer.protocol_lock import check_divisible
from transfer.tasks.detection.coco_files import read_coco
from transfer.tasks.detection.dicts import coco_dicts, voc_dicts
from transfer.tasks.detection.splits import Split, VocSplit, known_splits, own_splits
from twist_common.errors import UserError, is_not_the_files, unknown_name
from twist_common.images import eight_bits
from twist_common.shared_memory import check_shared_memory, without_lost_batches


def register_dataset(name: str, root: Path, cfg: CfgNode | None = None) -> str:
    """Makes a data set known to Detectron2 and returns the name it has there, one for each data root.

    Args:
        cfg: says what own data are.

    Raises:
        UserError: an unknown data set, or its files are not below ``root``.
    """
    known = splits_of(cfg)
    if name not in known:
        raise unknown_name("data set in DATASETS", name, known)
    source = known[name]
    folder = _find_folder(name, source, root)
    registered = f"{name}@{folder}"
    if cfg is not None and "OWN" in cfg:
        registered += f"#{cfg.OWN.CONTENT}"  # the folder may hold other files at another time
    if registered in DatasetCatalog:
        return registered
    if isinstance(source, VocSplit):
        names, class_names = folder / source.parts[0], source.class_names
        DatasetCatalog.register(registered, lambda: voc_dicts(folder, names, class_names))
        MetadataCatalog.get(registered).set(
            thing_classes=list(class_names), dirname=str(folder), split=source.split, year=source.year
        )
        return registered
    annotations, images = (folder / part for part in source.parts)
    DatasetCatalog.register(registered, lambda: coco_dicts(annotations, images, registered, source.class_names))
    MetadataCatalog.get(registered).set(json_file=str(annotations), image_root=str(images))
    return registered


def _read_stored(file_name: str, format: str) -> np.ndarray:
    """Detectron2's ``read_image``, which would turn images as the camera says, but neither their boxes nor masks."""
    with Path(file_name).open("rb") as file, Image.open(file) as image:
        pixels: np.ndarray = detection_utils.convert_PIL_to_numpy(eight_bits(image), format)
        return pixels


detection_utils.read_image = _read_stored


def _find_folder(name: str, source: Split, root: Path) -> Path:
    folder = next((root / place for place in source.folders if (root / place / source.parts[0]).exists()), None)
    if folder is None:
        place = root / source.folders[0]
        if not place.is_dir() and (root / source.folders[1]).is_dir():
            place = root / source.folders[1]
        raise UserError(f"{name} has no {place / source.parts[0]}: put its {', '.join(source.parts)} into {place}")
    for part in source.parts:
        if not (folder / part).exists():
            raise UserError(f"{name} has no {folder / part}: the data set's {part} belongs there")
    return folder.resolve()


def splits_of(cfg: CfgNode | None) -> Mapping[str, Split]:
    """The data sets that ``DATASETS`` may name: the benchmarks', or a user's own."""
    return own_splits(cfg.OWN) if cfg is not None and "OWN" in cfg else known_splits()


def load_dicts(
    names: Sequence[str], root: Path, cfg: CfgNode | None = None, *, filter_empty: bool = False
) -> list[dict[str, Any]]:
    """Detectron2's list of images with their annotations.

    Args:
        cfg: says what own data are.

    Raises:
        UserError: files are missing, cannot be read, or have no image with an annotation in them.
    """
    registered = [register_dataset(name, root, cfg) for name in names]
    try:
        dicts = get_detection_dataset_dicts(registered, filter_empty=filter_empty)
    except AssertionError:
        raise UserError(
            f"{', '.join(names)} below {root} has no image with an object that counts: complete lists and annotations"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if is_not_the_files(error):
            raise
        raise UserError(
            f"the annotations of {', '.join(names)} below {root} cannot be read ({type(error).__name__}: {error}): "
            "fix them, or unpack the data set again"
        ) from error
    first = Path(dicts[0]["file_name"])
    if not first.is_file():
        raise UserError(f"{names[0]} has no image {first}: unpack its images into {first.parent}")
    return dicts


def check_before_training(cfg: CfgNode, root: Path, num_processes: int) -> None:
    """Checks what can be known before the weights are converted and processes are started.

    Raises:
        UserError: a data set is unknown or incomplete, there is not exactly one to test on, or the GPUs cannot share
            the batch evenly.
    """
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        register_dataset(name, root, cfg)
    if len(cfg.DATASETS.TEST) != 1:
        raise UserError(f"DATASETS.TEST is {cfg.DATASETS.TEST}: a trial is tested on one data set, name one")
    check_divisible("SOLVER.IMS_PER_BATCH", cfg.SOLVER.IMS_PER_BATCH, num_processes)


def load_train_dicts(cfg: CfgNode, root: Path) -> list[dict[str, Any]]:
    """The training images of the config.

    Raises:
        UserError: as :func:`load_dicts`, or they have masks of another form than the config trains on.
    """
    dicts = load_dicts(cfg.DATASETS.TRAIN, root, cfg, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    if not cfg.MODEL.MASK_ON or cfg.INPUT.MASK_FORMAT != "polygon":
        return dicts
    objects = [each for image in dicts for each in image["annotations"] if not each.get("iscrowd")]
    if number := sum(isinstance(each.get("segmentation"), dict) for each in objects):
        raise UserError(
            f"{number:,} objects of {', '.join(cfg.DATASETS.TRAIN)} have masks as run lengths, but the protocol "
            f"trains on polygons: give the override INPUT.MASK_FORMAT=bitmask"
        )
    return dicts


def load_test_dicts(cfg: CfgNode, root: Path) -> list[dict[str, Any]]:
    """The test images of the config.

    Raises:
        UserError: as :func:`load_dicts`, the number of classes is not the config's, or no object is to be found.
    """
    names = cfg.DATASETS.TEST
    dicts = load_dicts(names, root, cfg)
    classes = MetadataCatalog.get(register_dataset(names[0], root, cfg)).thing_classes
    if len(classes) != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise UserError(
            f"{names[0]} has {len(classes)} classes, MODEL.ROI_HEADS.NUM_CLASSES is "
            f"{cfg.MODEL.ROI_HEADS.NUM_CLASSES}: make them agree"
        )
    if not scored_labels(dicts):
        raise UserError(f"{names[0]} below {root} has no object that a test counts: complete its annotations")
    return dicts


def scored_labels(dicts: Sequence[dict[str, Any]]) -> set[int]:
    """The classes with objects that a test counts, as numbers: neither difficult (VOC) nor crowds (COCO)."""
    objects = (each for image in dicts for each in image["annotations"])
    return {each["category_id"] for each in objects if not each.get("difficult") and not each.get("iscrowd")}


def remarks_on_data(cfg: CfgNode, root: Path) -> list[str]:
    """What a reader of the figures must know about the data: sentences, for the record."""
    (name,) = cfg.DATASETS.TEST
    dicts = load_test_dicts(cfg, root)
    metadata = MetadataCatalog.get(register_dataset(name, root, cfg))
    scored = scored_labels(dicts)
    remarks = [cfg.OWN.DATA, *cfg.OWN.REMARKS] if "OWN" in cfg else []
    if left_out := [title for label, title in enumerate(metadata.thing_classes) if label not in scored]:
        remarks.append(
            f"no test object of {', '.join(left_out)} counts (there is none, or all are difficult or crowds): average "
            f"precision is over the other {len(scored)} classes"
        )
    if json_file := metadata.get("json_file"):
        remarks += read_coco(Path(json_file))[1]
    return remarks


class SeededMapper(torch.utils.data.Dataset):
    """Detectron2's mapper, with the augmentation of the n-th image of the stream drawn from (seed, n) alone.

    So it does not matter how many workers load the images, nor whether the trial was resumed in between.
    """

    def __init__(self, dicts: list[dict[str, Any]], mapper: DatasetMapper, seed: int) -> None:
        self._dicts = DatasetFromList(dicts, copy=False)
        self._mapper = mapper
        self._seed = seed

    def __len__(self) -> int:
        return len(self._dicts)

    def __getitem__(self, position_and_index: tuple[int, int]) -> dict[str, Any]:
        position, index = position_and_index
        seed_python_and_numpy(self._seed, position)
        return self._mapper(self._dicts[index])


class TrainingBatches(torch.utils.data.Sampler):
    """Endless batches of (position in the stream, image index) for this process, from its ``start``-th batch on.

    The stream is Detectron2's own TrainingSampler. As in Detectron2, a batch holds upright images only or wide
    images only where ``wide`` is given; it is decided before the images are loaded, so that skipping is free.

    Args:
        wide: for each image, is it wider than high? None turns the grouping off.
    """

    def __init__(self, num_images: int, wide: Sequence[bool] | None, *, batch_size: int, seed: int, start: int) -> None:
        self._indices = TrainingSampler(num_images, seed=seed)
        self._wide = wide
        self._batch_size = batch_size
        self._start = start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        num_complete = 0
        waiting: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        positions = itertools.count(comm.get_rank(), comm.get_world_size())
        for position, index in zip(positions, self._indices, strict=False):
            batch = waiting[bool(self._wide and self._wide[index])]
            batch.append((position, index))
            if len(batch) == self._batch_size:
                num_complete += 1
                if num_complete > self._start:
                    yield batch.copy()
                batch.clear()


def train_loader(
    cfg: CfgNode, dicts: list[dict[str, Any]], *, seed: int, start: int = 0, parts: int = 1
) -> torch.utils.data.DataLoader:
    """This process's share of the training batches, from iteration ``start`` on, in ``parts`` parts per iteration."""
    wide = [image["width"] > image["height"] for image in dicts] if cfg.DATALOADER.ASPECT_RATIO_GROUPING else None
    batches = TrainingBatches(
        len(dicts),
        wide,
        batch_size=cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size() // parts,
        seed=seed,
        start=start * parts,
    )
    loader = torch.utils.data.DataLoader(
        SeededMapper(dicts, DatasetMapper(cfg, is_train=True), seed),
        batch_sampler=batches,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
    )
    return without_lost_batches(loader)


def check_room(cfg: CfgNode, *, num_processes: int, parts: int) -> None:
    """:func:`twist_common.shared_memory.check_shared_memory` for training on the config's largest images."""
    images = cfg.SOLVER.IMS_PER_BATCH // (num_processes * parts)
    bytes_of_image = 3 * max(cfg.INPUT.MIN_SIZE_TRAIN) * cfg.INPUT.MAX_SIZE_TRAIN
    check_shared_memory(cfg.DATALOADER.NUM_WORKERS * num_processes, images * bytes_of_image)


def derived_seed(*keys: int) -> int:
    """A 32-bit seed that differs for each tuple of keys, e.g. (trial's seed, iteration, rank)."""
    return int(np.random.SeedSequence(keys).generate_state(1)[0])


def seed_python_and_numpy(*keys: int) -> None:
    """Seeds what Detectron2's augmentations draw from."""
    seed = derived_seed(*keys)
    random.seed(seed)
    np.random.seed(seed)
