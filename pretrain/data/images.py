"""Training images in folders, and how an image file is decoded; shards are in ``shards``."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pretrain.data.listing import images_by_class
from pretrain.data.ops import Array
from twist_common.images import rgb, what_it_is
from twist_common.names import PackedNames


class UnreadableImageError(Exception):
    """A file is not an image, or is truncated."""


class ImageSource(Protocol):
    """Images by their index.

    Attributes:
        labels: (N,); all 0 where there are none.
        sha256: of the images' names.
        shard_sizes: number of images in each shard, in the order of the indices; None if each image is a file of its
            own.
        left_out: number of images in formats that are not read, by suffix.
    """

    labels: Tensor
    sha256: str
    shard_sizes: list[int] | None
    left_out: Counter[str]

    def name(self, index: int) -> str:
        """The image's name in messages."""

    def read(self, index: int) -> bytes:
        """The image file's content.

        Raises:
            OSError: it cannot be read.
        """


class ImageFolderSource:
    """``folder/<class>/<image>``, as torchvision's ImageFolder lists them; or unlabelled images, or a list of them."""

    shard_sizes: list[int] | None = None

    def __init__(self, folder: Path) -> None:
        """Lists the images.

        Raises:
            UserError: see :func:`pretrain.data.listing.images_by_class`.
        """
        images, self.left_out = images_by_class(folder)
        self.labels = torch.repeat_interleave(torch.tensor([len(names) for names in images]))
        self._folder = folder.parent if folder.is_file() else folder
        self._names = PackedNames(name for names in images for name in names)
        self.sha256 = self._names.sha256()

    @property
    def paths(self) -> list[Path]:
        """Every image's file."""
        return [self._folder / name for name in self._names]

    def name(self, index: int) -> str:
        return str(self._folder / self._names[index])

    def read(self, index: int) -> bytes:
        return (self._folder / self._names[index]).read_bytes()


def decode(content: bytes) -> Array:
    """An image file as (H, W, 3) of uint8, RGB; an orientation recorded by the camera is not applied.

    Raises:
        UnreadableImageError: it is damaged, truncated, empty or no image.
    """
    if content.startswith(b"\xff\xd8") and content.endswith(b"\xff\xd9"):  # a whole JPEG
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        image: Array | None = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        if image is not None:
            return image
    # OpenCV silently fills the missing part of a truncated file with gray, so everything else goes to PIL.
    try:
        with Image.open(io.BytesIO(content)) as opened:
            return np.array(rgb(opened))  # a copy, because torch needs a writable array
    except UnidentifiedImageError:
        raise UnreadableImageError(what_it_is(content)) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(str(error)) from None
