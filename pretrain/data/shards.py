"""Training images in WebDataset shards: a few large tar files, for file systems that are slow with many small ones.

Any image can be read on its own (:mod:`twist_common.shards`), so the order of images, and a start in the middle of it,
are those of a folder of images.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from pretrain.data.order import WINDOW_SHARDS
from twist_common.errors import UserError
from twist_common.shards import TarShards, find_shards

_OPEN_SHARDS = 2 * WINDOW_SHARDS  # for each loading process, below the usual limit of 1,024 open files


class ShardSource(TarShards):
    """The images in a folder's training shards.

    Attributes:
        labels, sha256, shard_sizes, left_out: see :class:`pretrain.data.images.ImageSource`.
    """

    def __init__(self, folder: Path, index_dir: Path | None = None) -> None:
        """Reads the index, or makes it: beside the shards if it can be written there, else in ``index_dir``.

        Raises:
            UserError: a shard is damaged, holds no image or lacks some labels, or shards are sorted by class.
        """
        homes = [folder] if index_dir is None else [folder, index_dir]
        super().__init__(find_shards(folder), homes, max_open=_OPEN_SHARDS)
        self.labels = torch.from_numpy(self.places[:, 3].copy())
        self.shard_sizes = np.bincount(self.places[:, 0], minlength=len(self.shards)).tolist()
        self.sha256 = self.keys.sha256()
        self.left_out: Counter[str] = Counter()
        # A batch comes from a window of shards, which must contain most classes.
        num_shards, num_labels = (len(np.unique(column)) for column in (self.places[:, 0], self.labels))
        labels_per_shard = len(np.unique(self.places[:, [0, 3]], axis=0)) / num_shards
        if num_shards > WINDOW_SHARDS and labels_per_shard * WINDOW_SHARDS < num_labels / 2:
            raise UserError(
                f"the shards in {folder} hold {labels_per_shard:.0f} of {num_labels} classes each: "
                "write them again from shuffled images, since a batch is drawn from a few shards"
            )
