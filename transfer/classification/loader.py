"""Batches of labelled images, read and transformed in as many processes as there is work for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from transfer.classification.labelled import LabelledImages
from transfer.classification.transforms import Transform


class _Transformed(Dataset):
    def __init__(self, images: LabelledImages, transform: Transform) -> None:
        self._images, self._transform = images, transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> Tensor:
        return self._transform(self._images.read(row))


def batches(images: LabelledImages, transform: Transform, *, batch_size: int, num_workers: int = 0) -> Iterator[Tensor]:
    """(B, 3, H, W) batches in the order of the rows; the last one may be smaller.

    Args:
        num_workers: reading processes; 0 reads in this one.
    """
    yield from DataLoader(
        _Transformed(images, transform),
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
    )
