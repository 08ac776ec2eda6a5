"""Outcomes of detection: which detections match an object, at every threshold of the overlap, best first.

Scores are not kept: average precision depends on their order alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.kind import MAX_CELLS, MAX_CLASSES, Outcomes, Weights, checked, count, smallest

IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
THRESHOLDS_OF = {"ap": range(10), "ap50": (0,), "ap75": (5,)}
# The recalls at which precision is read; none where it is integrated over all of them.
RECALLS: dict[str, NDArray[np.float64] | None] = {
    "coco": np.linspace(0.0, 1.0, 101),
    "voc2007": np.arange(0.0, 1.1, 0.1),  # as Detectron2 has them
    "voc2012": None,
}
CLOSE = 1e-6  # above all rounding
Matched = tuple[NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True)
class Detections:
    """The detections of one class, best first.

    Attributes:
        images: (D,) of each detection.
        matched: ``"box"`` or ``"mask"`` to two (10, D) bool: whether it is right at each of :data:`IOU_THRESHOLDS`,
            and whether it is ignored: it then lies on a crowd or on a difficult object.
    """

    images: NDArray[np.integer]
    matched: Mapping[str, Matched]

    def needed(self) -> Detections:
        """Without what changes no figure whatever the images' weights: the ignored, and what follows the last hit."""
        right = np.any([right.any(axis=0) for right, _ in self.matched.values()], axis=0)
        ignored = np.all([ignored.all(axis=0) for _, ignored in self.matched.values()], axis=0)
        keep = ~ignored
        keep[np.flatnonzero(right)[-1] + 1 if right.any() else 0 :] = False
        return Detections(self.images[keep], {name: (a[:, keep], b[:, keep]) for name, (a, b) in self.matched.items()})


@dataclass(frozen=True, eq=False)
class Matches(Outcomes):
    """What was detected in each image.

    Attributes:
        form: how average precision is read off, a key of :data:`RECALLS`.
        objects: (N, C) objects of each class that are to be found in each image.
        classes: the detections of each of the C classes.
    """

    form: str
    objects: NDArray[np.integer]
    classes: Sequence[Detections]

    @property
    def num_images(self) -> int:
        return len(self.objects)

    @property
    def resamplable(self) -> tuple[str, ...]:
        return tuple(f"{prefix}_{metric}" for prefix in self.classes[0].matched for metric in THRESHOLDS_OF)

    def truth(self) -> bytes:
        return self.objects.astype("<i8").tobytes()

    def resampled(self, metric: str, weights: Weights) -> NDArray[np.float64]:
        prefix, _, name = metric.partition("_")
        # Images come first here, so that all draws of one image lie side by side.
        weights = np.ascontiguousarray(weights.T)
        sums, num_classes = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for index, found in enumerate(self.classes):
            num_objects = self.objects[:, index] @ weights
            exists = num_objects > 0
            num_classes += exists
            right, ignored = found.matched[prefix]
            places = THRESHOLDS_OF[name]
            rows = np.flatnonzero(right[list(places)].any(axis=0))  # where precision is read
            if not len(rows):
                continue
            since_last = np.add.reduceat(weights[found.images[: rows[-1] + 1]], np.r_[0, rows[:-1] + 1], axis=0)
            before = np.cumsum(since_last, axis=0)
            for place in places:
                hits, skipped = np.flatnonzero(right[place]), np.flatnonzero(ignored[place])
                counted = before[np.searchsorted(rows, hits)]
                if len(skipped):
                    passed = np.cumsum(weights[found.images[skipped]], axis=0)  # up to and including each of them
                    first = np.searchsorted(skipped, hits)  # how many of them come before each hit
                    counted[first > 0] -= passed[first[first > 0] - 1]
                ours = weights[found.images[hits]]
                sums += exists * self._average_precision(ours, counted, np.maximum(num_objects, 1))
        with np.errstate(invalid="ignore"):
            return 100 * sums / (num_classes * len(THRESHOLDS_OF[name]))

    def _average_precision(self, hits: Weights, before: Weights, num_objects: NDArray[np.float64]) -> Weights:
        """Of one class: (B,).

        Args:
            hits: (H, B) how often each hit counts, best first.
            before: (H, B) how many detections there are up to and including it.
        """
        if not len(hits):
            return np.zeros(hits.shape[1])
        found = np.cumsum(hits, axis=0)
        precision = found / np.maximum(before, 1)
        highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]  # at this recall or a higher one
        recall = found / num_objects
        if (recalls := RECALLS[self.form]) is not None:
            recall = _num_reached(recall, recalls) / len(recalls)
        steps = np.diff(recall, axis=0, prepend=0)
        return np.einsum("hb,hb->b", highest, steps)

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays: dict[str, NDArray[Any]] = {
            "objects": smallest(self.objects),
            "sizes": smallest(np.array([len(each.images) for each in self.classes])),
            "images": _planes(np.concatenate([each.images for each in self.classes])),
        }
        prefixes = list(self.classes[0].matched)
        for prefix in prefixes:
            for place, what in enumerate(("right", "ignored")):
                bits = np.concatenate([each.matched[prefix][place] for each in self.classes], axis=1)
                arrays[f"{prefix}_{what}"] = _planes((1 << np.arange(10)) @ bits)
        return arrays, {"form": self.form, "prefixes": prefixes}

    @classmethod
    def of_parts(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Matches:
        form, prefixes = facts["form"], facts["prefixes"]
        objects = checked(arrays["objects"], 2, MAX_CELLS, "objects")
        sizes = checked(arrays["sizes"], 1, MAX_CELLS, "sizes")
        images = _of_planes(arrays["images"], len(objects), "images")
        if form not in RECALLS or prefixes not in (["box"], ["mask"], ["box", "mask"]) or not objects.any():
            raise ValueError("it is of no known form, or has no objects")
        count({"classes": objects.shape[1]}, "classes", MAX_CLASSES)
        matched = {}
        for prefix in prefixes:
            bits = [_of_planes(arrays[f"{prefix}_{what}"], 1 << 10, what) for what in ("right", "ignored")]
            matched[prefix] = [(each >> np.arange(10)[:, None] & 1).astype(bool) for each in bits]
        lengths = {len(images), int(sizes.sum()), *(each.shape[1] for pair in matched.values() for each in pair)}
        if len(lengths) > 1 or len(sizes) != objects.shape[1]:
            raise ValueError("its detections are not those of its classes")
        ends = np.cumsum(sizes)
        parts = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        return cls(
            form,
            objects,
            [
                Detections(images[part], {name: (a[:, part], b[:, part]) for name, (a, b) in matched.items()})
                for part in parts
            ],
        )


def _num_reached(recall: NDArray[np.float64], recalls: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of the evenly spaced ``recalls`` are at most this: by division, but by comparison where it is close."""
    places = recall * (len(recalls) - 1)
    found = np.floor(places)
    close = np.nonzero(np.abs(places - np.rint(places)) < CLOSE)
    found += 1
    found[close] = np.searchsorted(recalls, recall[close], side="right")
    return found


def _planes(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """(4, N): the lowest bytes of all numbers, then the next; compressed, these are smaller than the numbers."""
    return np.ascontiguousarray(values.astype("<u4").view(np.uint8).reshape(-1, 4).T)


def _of_planes(planes: NDArray[Any], below: int, what: str) -> NDArray[np.int64]:
    if planes.ndim != 2 or len(planes) != 4 or planes.dtype != np.uint8:
        raise ValueError(f"{what} are not the bytes of numbers")
    numbers = np.ascontiguousarray(planes.T).view("<u4").reshape(-1)
    return checked(numbers, 1, below, what)
