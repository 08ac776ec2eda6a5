"""Names that people read for the classes' folders, from the lists that come with a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError

# "n01440764 tench, Tinca tinca": the list in Kaggle's ImageNet, and one of the same form that a user writes
LISTS = ("LOC_synset_mapping.txt", "classes.txt")


def read_class_names(root: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """A name for each class: the first one in a list below the data root, else its folder's name.

    Args:
        root: looked into, and its ``imagefolder``, for one of :data:`LISTS` with lines "folder name, other names".
        classes: the folders' names.

    Raises:
        UserError: a list is there and is no text.
    """
    for folder in (root, root / "imagefolder"):
        for name in LISTS:
            path = folder / name
            if path.is_file():
                listed = _read(path)
                return tuple(listed.get(class_name, class_name) for class_name in classes)
    return tuple(classes)


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the names of the classes in {path} ({error}): mend or remove it") from None
    names = {}
    for line in lines:
        folder, _, rest = line.strip().partition(" ")
        if name := rest.split(",")[0].strip():
            names[folder] = name
    return names
