"""WebDataset shards in place of class folders: ``train/*.tar`` and ``val/*.tar``, or all of them in one folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from common.errors import UserError
from common.shards import INDEX_NAME, TarShards, find_shards
from transfer.tasks.classification.datasets.listing import Listing

if TYPE_CHECKING:
    from PIL.Image import Image


def shards_of(root: Path, split: str) -> list[Path]:
    """The shards of a split (``"train"`` or ``"val"``); none where the images lie in class folders.

    Validation shards beside training shards are told by their names; shards of one split alone are no other's.
    """
    if (root / split).is_dir():
        return find_shards(root / split, split)
    return [path for path in find_shards(root, split) if split in path.name] if root.is_dir() else []


def list_shards(shards: list[Path], split: str) -> Listing:
    """The images of the shards; the classes are the numbers from 0 to the highest label.

    The index of where each image lies is kept beside the shards where their folder can be written to.

    Raises:
        UserError: a shard is damaged, holds no image or lacks some labels.
    """
    index_name = INDEX_NAME if split == "train" else f".shard_index_{split}.npz"  # pre-training has the same of train
    source = TarShards(shards, [shards[0].parent], index_name=index_name)
    labels = source.places[:, 3].copy()
    return Listing(
        classes=tuple(map(str, range(int(labels.max()) + 1))),
        labels=labels,
        names=cast(Sequence[str], source.keys),
        root=None,
        read=lambda row: _decode(source, row),
    )


def _decode(source: TarShards, row: int) -> Image:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source.read(row))) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {source.name(row)} ({error}): write its shard again") from None
