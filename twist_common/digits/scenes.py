"""Scenes: several digits, enlarged, side by side on plain black ground, with a mask for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from twist_common.digits.source import Digits

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

SCENE_SIZE = 128
HEIGHT_RANGE = (24, 56)  # of the ink, not of the 28x28 tile
NUM_RANGE = (3, 7)
CONTRAST_RANGE = (0.7, 1.0)
INK_THRESHOLD = 64  # of 255, before contrast: what counts as ink in the masks
MAX_COVERED = 0.1  # of the smaller of two boxes: they may touch, hardly overlap
MIN_PIECE = 12  # pixels: specks of ink apart from the digit are no part of its mask
PLACING_TRIES = 60
DIFFICULT_BELOW = 27  # ink height in pixels under which an object is marked difficult

CROWD_HEIGHT = 14  # crowds: a row of digits too small to tell apart
CROWD_NUM_RANGE = (4, 6)
CROWD_OVERLAP = 2  # pixels by which neighbours in a crowd run into each other


@dataclass(frozen=True)
class SceneObject:
    """One digit, or a crowd of small ones of the same class.

    Attributes:
        label: 0 to 9.
        mask: (128, 128) bool, its visible pixels.
        box: ``(x0, y0, x1, y1)`` around the mask; ``x1`` and ``y1`` are outside.
        digits: row numbers, in the source, of the digits that it is made of.
    """

    label: int
    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    digits: tuple[int, ...]
    is_crowd: bool = False

    @property
    def is_difficult(self) -> bool:
        return self.box[3] - self.box[1] < DIFFICULT_BELOW


@dataclass(frozen=True)
class Scene:
    """``image`` is (128, 128) uint8; objects do not share pixels."""

    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]


@dataclass
class _Patch:
    ink: NDArray[np.uint8]
    label: int
    digits: tuple[int, ...]
    is_crowd: bool = False


class SceneComposer:
    """Draws scenes from a pool of digits, each digit at most once until all have been used."""

    def __init__(self, digits: Digits, rng: np.random.Generator) -> None:
        self._digits = digits
        self._rng = rng
        self._queue: list[int] = []

    def compose(self, *, with_crowd: bool = False) -> Scene:
        """The next scene, of three to seven digits and perhaps a crowd."""
        patches = []
        for _ in range(int(self._rng.integers(*NUM_RANGE, endpoint=True))):
            row = self._next_digit()
            height = int(self._rng.integers(*HEIGHT_RANGE, endpoint=True))
            ink = resize_to_height(crop_to_ink(self._digits.images[row]), height)
            patches.append(_Patch(ink, int(self._digits.labels[row]), (int(self._digits.indices[row]),)))
        # the largest first: what is still to be placed then finds room more easily
        patches.sort(key=lambda patch: -patch.ink.size)
        if with_crowd:
            patches.insert(0, self._crowd_patch())
        return self._place(patches)

    def _next_digit(self) -> int:
        if not self._queue:
            self._queue = self._rng.permutation(len(self._digits)).tolist()
        return self._queue.pop()

    def _crowd_patch(self) -> _Patch:
        num = int(self._rng.integers(*CROWD_NUM_RANGE, endpoint=True))
        label = int(self._digits.labels[self._next_digit()])
        rows = self._rng.choice(np.flatnonzero(self._digits.labels == label), num, replace=False)
        members = [resize_to_height(crop_to_ink(self._digits.images[row]), CROWD_HEIGHT) for row in rows]
        width = sum(max(member.shape[1] - CROWD_OVERLAP, 1) for member in members) + CROWD_OVERLAP
        ink = np.zeros((CROWD_HEIGHT, width), dtype=np.uint8)
        left = 0
        for member in members:
            right = left + member.shape[1]
            ink[:, left:right] = np.maximum(ink[:, left:right], member)
            left = max(right - CROWD_OVERLAP, left + 1)
        return _Patch(ink, label, tuple(int(self._digits.indices[row]) for row in rows), is_crowd=True)

    def _place(self, patches: list[_Patch]) -> Scene:
        """Puts each patch where it hardly covers another one; one that finds no such place is left out."""
        image = np.zeros((SCENE_SIZE, SCENE_SIZE), dtype=np.uint8)
        boxes: list[tuple[int, int, int, int]] = []
        objects: list[SceneObject] = []
        for patch in patches:
            height, width = patch.ink.shape
            for _ in range(PLACING_TRIES):
                x0 = int(self._rng.integers(0, SCENE_SIZE - width, endpoint=True))
                y0 = int(self._rng.integers(0, SCENE_SIZE - height, endpoint=True))
                box = (x0, y0, x1 := x0 + width, y1 := y0 + height)
                if all(covered_share(box, other) <= MAX_COVERED for other in boxes):
                    break
            else:
                continue
            boxes.append(box)
            contrast = self._rng.uniform(*CONTRAST_RANGE)
            region = image[y0:y1, x0:x1]
            taken = np.zeros_like(image, dtype=bool)
            for other in objects:
                taken |= other.mask
            mask = np.zeros_like(image, dtype=bool)
            mask[y0:y1, x0:x1] = patch.ink >= INK_THRESHOLD
            mask = drop_specks(mask & ~taken)
            np.maximum(region, (patch.ink * contrast).astype(np.uint8), out=region)
            objects.append(SceneObject(patch.label, mask, mask_box(mask), patch.digits, patch.is_crowd))
        return Scene(image, tuple(objects))


def crop_to_ink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of a digit's tile that holds its ink."""
    x0, y0, x1, y1 = mask_box(image >= INK_THRESHOLD)
    return image[y0:y1, x0:x1]


def resize_to_height(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Bilinear, aspect ratio kept; wider than high only as far as ``HEIGHT_RANGE`` allows."""
    width = max(1, min(round(image.shape[1] * height / image.shape[0]), HEIGHT_RANGE[1]))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """``(x0, y0, x1, y1)`` around the true pixels, ``x1`` and ``y1`` outside; the mask must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def drop_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without its connected pieces of fewer than ``MIN_PIECE`` pixels."""
    pieces, num_pieces = ndimage.label(mask)
    if num_pieces < 2:
        return mask
    large = np.bincount(pieces.ravel()) >= MIN_PIECE
    large[0] = False  # the background
    return large[pieces]


def covered_share(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over the smaller of two boxes."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(width, 0) * max(height, 0) / smaller
