"""Where a protocol's images are, and whether they are all there, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def point_to_data(config: Config, root: Path) -> None:
    """Makes every data set's ``data_root`` absolute, below ``root``, and checks its folders and list.

    Raises:
        UserError: a folder or list is missing; says which, and what belongs there.
    """
    for dataset in _datasets(config):
        dataset.data_root = str(root / dataset.data_root)
        _check(dataset)


def check_counts(config: Config, *, num_train: int, num_test: int) -> None:
    """Raises UserError if there are fewer or more images than the protocol demands."""
    wanted = config.get("num_images")
    if wanted is None:
        return
    found = {"train": num_train, "test": num_test}
    for split, count in found.items():
        if count != wanted[split]:
            raise UserError(
                f"the protocol has {wanted[split]} {split} images, {count} were found: complete the data, "
                f"or allow it with num_images.{split}={count} (the result is then shown as off protocol)"
            )


def _datasets(config: Config) -> Iterator[Any]:
    for loader in (config.train_dataloader, config.test_dataloader):
        yield from loader.dataset.get("datasets", [loader.dataset])


def _check(dataset: Any) -> None:
    root = Path(dataset.data_root)
    contents = {
        dataset.data_prefix.img_path: "the images",
        dataset.data_prefix.seg_map_path: "the segmentation masks (one PNG of class indices an image)",
    }
    for folder, what in contents.items():
        if not (root / folder).is_dir():
            raise UserError(f"no folder {root / folder}: {what} of {dataset.type} belong there (docs/data.md)")
    names = dataset.get("ann_file")
    if names and not (root / names).is_file():
        raise UserError(f"no file {root / names}: a list of image names, one a line, belongs there (docs/data.md)")
