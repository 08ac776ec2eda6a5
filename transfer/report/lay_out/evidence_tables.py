"""What lies beside the records: near-duplicates of test images, and the preflights of machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import Table, number_columns, plain_table, text_columns

if TYPE_CHECKING:
    from transfer.report.read.near_duplicates import NearDuplicateCount
    from transfer.report.read.preflights import Preflight


def near_duplicates_table(found: Sequence[NearDuplicateCount]) -> tuple[Table, ...]:
    """Every count that was found; nothing without any."""
    columns = text_columns("Data set")
    columns += number_columns("Test images", "Near-duplicates", "Same file", "Pre-training images")
    columns += text_columns("Source", "Hash")
    rows = [
        (
            each.data_set,
            *map(fmt.count, (each.test_images, each.near_duplicates, each.exact, each.training_images)),
            each.training_source,
            f"{each.hash}, distance up to {each.threshold}",
        )
        for each in found
    ]
    caption = "Near-duplicates of test images among pre-training images"
    return (plain_table(caption, columns, rows),) if rows else ()


def near_duplicates_sentence(counted: NearDuplicateCount) -> str:
    """E.g. ``"Of 1 000 test images 3 have a near-duplicate among the 3 823 pre-training images (…)."``"""
    verb = "has" if counted.near_duplicates == 1 else "have"
    exact = f", {fmt.count(counted.exact)} of them the same file" if counted.exact else ""
    return (
        f"Of {fmt.count(counted.test_images)} test images {fmt.count(counted.near_duplicates)} {verb} a near-duplicate "
        f"among the {fmt.count(counted.training_images)} pre-training images of {counted.training_source}{exact} "
        f"({counted.hash}, distance up to {counted.threshold})."
    )


def preflight_tables(found: Sequence[Preflight]) -> tuple[Table, ...]:
    """What each machine was checked for before its runs; nothing without any."""
    columns = (*text_columns("Check", "Status"), *number_columns("Seconds"), *text_columns("Found"))
    return tuple(
        plain_table(
            f"Preflight: {each.device}",
            columns,
            [(check.name, check.status, fmt.number(check.seconds, digits=1), check.detail) for check in each.checks],
        )
        for each in found
    )
