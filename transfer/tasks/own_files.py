"""What finding a user's own data takes and gives, whatever their form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.layouts import Layout
from transfer.protocol_lock import BatchSchedule
from transfer.rows import DenseDataset
from twist_common.errors import UserError


@dataclass(frozen=True)
class NamedFiles:
    """What the user says of own data, because it is not found by convention.

    Attributes:
        train, test: files that say which images are for training and for the test; relative to the data's folder.
        classes: a file with the names of the classes of masks, and their ids or colours.
        ignored: what pixels of masks hold that are not labelled, an id or a colour.
    """

    train: Path | None = None
    test: Path | None = None
    classes: Path | None = None
    ignored: str | None = None


MAX_CLASSES = 12  # that are named in one line
NOT_NAMED = NamedFiles()


@dataclass(frozen=True)
class FoundData:
    """The layout of own data, all files that matter to a trial, and what a reader of its figures must know."""

    layout: Layout
    files: Sequence[Path]
    remarks: tuple[str, ...] = ()


def schedule_for(num_images: int, protocol: BatchSchedule, *, epochs: int, fewest: int) -> BatchSchedule:
    """The protocol's schedule in as many iterations as some epochs of the images have, its drops in proportion.

    Args:
        fewest: iterations of a short one; no more than the protocol has.
    """
    iterations = min(max(round(epochs * num_images / protocol.batch_size), fewest), protocol.iterations)
    return BatchSchedule(
        batch_size=protocol.batch_size,
        learning_rate=protocol.learning_rate,
        iterations=iterations,
        milestones=tuple(round(each * iterations / protocol.iterations) for each in protocol.milestones),
        warmup_iterations=protocol.warmup_iterations,
    )


def described(row: DenseDataset, root: Path) -> str:
    """What own data are, in a line for people and records: name, classes, counts, files and hash."""
    layout = row.layouts[0]
    names: Sequence[str] = layout.class_names  # type: ignore[attr-defined] # of all layouts of own data
    more = f", ... {names[-1]}" if len(names) > MAX_CLASSES else ""
    classes = (
        f"{len(names)} classes ({', '.join(names[:MAX_CLASSES])}{more})" if len(names) > 1 else f"class {names[0]}"
    )
    return (
        f"{root.resolve().name}: {classes}, {layout.num_train:,} training and {layout.num_test:,} test images, "
        f"content {row.content[:8]}"
    )


def never_trained(classes: Iterable[str]) -> tuple[str, ...]:
    """The remark on classes that only the test has, if there are any."""
    names = ", ".join(classes)
    return (f"no training image has an object of {names}, so that none can be found in the test",) if names else ()


def twins(names: Iterable[str]) -> list[str]:
    """Names that differ by case, spaces, hyphens and underscores alone, or by how an accent is written (macOS splits it
    from its letter); not single letters, as of an alphabet.
    """
    by_word: dict[str, set[str]] = {}
    for name in names:
        word = unicodedata.normalize("NFC", name)
        by_word.setdefault(re.sub(r"[\s_-]+", "", word).casefold() if len(word) > 1 else word, set()).add(name)
    return [" and ".join(map(repr, sorted(each))) for each in by_word.values() if len(each) > 1]


def refuse_twins(names: Iterable[str], root: Path) -> None:
    """Raises :class:`UserError` for classes that :func:`twins` finds."""
    if found := twins(names):
        raise UserError(
            f"the classes {', '.join(found[:3])} of {root} differ by case, spaces or signs alone: give them one name"
        )


def below(root: Path, path: Path, option: str) -> Path:
    """A named file as a path below the data's folder.

    Raises:
        UserError: there is none, or it is elsewhere.
    """
    full = path if path.is_absolute() else root / path
    if not full.is_file():
        raise UserError(f"{option} {path}: there is no file {full}")
    if not full.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{option} {path} is not below {root}: give --data a folder that holds it and the images")
    return root / full.resolve().relative_to(root.resolve())
