"""Test images that look like images of the pre-training: counted by the data doctor, told beside the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.table import Column, Table, plain_table
from transfer.report.read.strict_json import load_object, text, unreadable, whole

FOLDER = "near-duplicates"
FORMAT = "twist-transfer near-duplicates"
VERSION = 1


@dataclass(frozen=True)
class NearDuplicates:
    """One count.

    Attributes:
        data_set: of the test images, as the data doctor names it (the name of its row).
        training_source: where the pre-training images are from.
        threshold: the largest distance of two hashes that counts as near.
        near_duplicates, exact: test images with a training image within the threshold; of the same bytes.
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
        """Two counts of one identity have to agree."""
        return self.data_set, self.training_source, self.threshold, self.hash

    @property
    def counts(self) -> tuple[int, int, int, int]:
        return self.test_images, self.training_images, self.near_duplicates, self.exact

    @property
    def sentence(self) -> str:
        """E.g. ``"Of 1 000 test images 3 have a near-duplicate among the 3 823 pre-training images (…)."``"""
        verb = "has" if self.near_duplicates == 1 else "have"
        exact = f", {fmt.count(self.exact)} of them the same file" if self.exact else ""
        return (
            f"Of {fmt.count(self.test_images)} test images {fmt.count(self.near_duplicates)} {verb} a near-duplicate "
            f"among the {fmt.count(self.training_images)} pre-training images of {self.training_source}{exact} "
            f"({self.hash}, distance up to {self.threshold})."
        )


def read(content: bytes, where: str) -> NearDuplicates:
    """The content of a ``near-duplicates/<data set>.json``.

    Raises:
        UserError: it is none.
    """
    raw = load_object(content, where, form=FORMAT, version=VERSION)
    try:
        found = NearDuplicates(
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
    except (ValueError, KeyError) as error:
        raise unreadable(where, FORMAT, error) from None


def near_duplicates_table(found: Sequence[NearDuplicates]) -> Table | None:
    """Every count that was found; None without any."""
    columns = [
        Column("Data set", numeric=False),
        Column("Test images"),
        Column("Near-duplicates"),
        Column("Same file"),
    ]
    columns += [Column("Pre-training images"), Column("Source", numeric=False), Column("Hash", numeric=False)]
    rows = [
        (
            each.data_set,
            *map(fmt.count, (each.test_images, each.near_duplicates, each.exact, each.training_images)),
            each.training_source,
            f"{each.hash}, distance up to {each.threshold}",
        )
        for each in found
    ]
    return plain_table("Near-duplicates of test images among pre-training images", columns, rows) if rows else None
