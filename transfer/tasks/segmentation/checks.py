"""Whether a trial's processes, data and weights suit its protocol, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transfer.tasks.segmentation.any_arch import takes_any
from transfer.weights.convert.convert import Converted, verify_config
from twist_common.errors import UserError
from twist_common.shared_memory import check_shared_memory

if TYPE_CHECKING:
    from mmengine.config import Config


def check_room(config: Config, *, num_processes: int, parts: int) -> None:
    """:func:`twist_common.shared_memory.check_shared_memory` for training on the config's crops."""
    loader = config.train_dataloader
    if crop := config.model.data_preprocessor.get("size"):
        height, width = crop  # handed over as three channels of one byte, and labels of eight
        images = loader.batch_size // (num_processes * parts)
        check_shared_memory(loader.num_workers * num_processes, images * height * width * (3 + 8))


def point_to_data(config: Config, root: Path) -> None:
    """Makes every data set's ``data_root`` absolute, below ``root``, and checks its folders and list.

    Raises:
        UserError: a folder or list is missing; says which, and what belongs there.
    """
    for loader in (config.train_dataloader, config.test_dataloader):
        for dataset in loader.dataset.get("datasets", [loader.dataset]):
            for step in dataset.pipeline:
                if step.type == "LoadImageFromFile":  # by default it turns images as the camera says, but not masks
                    step.color_type = "color_ignore_orientation"
            dataset.data_root = str(root / dataset.data_root)
            place = Path(dataset.data_root)
            contents = {
                dataset.data_prefix.img_path: "the images",
                dataset.data_prefix.seg_map_path: "the segmentation masks (one PNG of class indices per image)",
            }
            for folder, what in contents.items():
                if not (place / folder).is_dir():
                    raise UserError(f"no folder {place / folder}: {what} of {dataset.type} belong there (docs/data.md)")
            names = dataset.get("ann_file")
            if names and not (place / names).is_file():
                raise UserError(
                    f"no file {place / names}: a list of image names, one per line, belongs there (docs/data.md)"
                )


def check_counts(config: Config, *, num_train: int, num_test: int) -> None:
    """Raises UserError if there are fewer or more images than the protocol demands."""
    wanted = config.get("num_images")
    if wanted is None:
        return
    for split, count in {"train": num_train, "test": num_test}.items():
        if count != wanted[split]:
            raise UserError(
                f"the protocol has {wanted[split]} {split} images, {count} were found: complete the data, "
                f"or allow it with num_images.{split}={count} (the result is then shown as off protocol)"
            )


def check_weights(converted: Converted, config: Config) -> None:
    """Checks that the weights were proved for the model that the config describes.

    Raises:
        UserError: another architecture, stem, stride placement or normalisation.
    """
    if not takes_any(config) and converted.arch != (arch := f"resnet{config.model.backbone.depth}"):
        raise UserError(
            f"the weights are a {converted.arch}, the config's model is a {arch}: use weights or a benchmark of the "
            "other's architecture"
        )
    verify_config(converted, converted.proof["target"], config.model)
