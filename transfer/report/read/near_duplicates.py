"""Counts of test images that look like pre-training images, as the data doctor writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twist_common.strict_json import read_object, text, whole

FORMAT = "twist-transfer near-duplicates"
VERSION = 1


@dataclass(frozen=True)
class NearDuplicateCount:
    """The near-duplicates of one set of test images among one set of pre-training images.

    Attributes:
        data_set: of the test images, as the data doctor names it (the name of its row).
        training_source: where the pre-training images are from.
        threshold: the largest distance of two hashes that counts as near.
        near_duplicates, exact: test images with a training image within the threshold; with the same bytes.
        content: of the file, for archives.
    """

    data_set: str
    test_images: int
    training_images: int
    training_source: str
    threshold: int
    hash: str
    near_duplicates: int
    exact: int
    content: bytes

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """Two counts with the same identity must agree."""
        return self.data_set, self.training_source, self.threshold, self.hash


def read(content: bytes, where: str) -> NearDuplicateCount:
    """The content of a ``near-duplicates/<data set>.json``. Raises UserError if it is not such a file."""

    def build(raw: dict[str, Any]) -> NearDuplicateCount:
        found = NearDuplicateCount(
            data_set=text(raw, "dataset"),
            test_images=whole(raw, "test_images"),
            training_images=whole(raw, "training_images"),
            training_source=text(raw, "training_source"),
            threshold=whole(raw, "threshold"),
            hash=text(raw, "hash"),
            near_duplicates=whole(raw, "near_duplicates"),
            exact=whole(raw, "exact"),
            content=content,
        )
        if not found.exact <= found.near_duplicates <= found.test_images:
            raise ValueError(f"{found.exact} exact, {found.near_duplicates} near, of {found.test_images} test images")
        return found

    return read_object(content, where, form=FORMAT, version=VERSION, build=build)
