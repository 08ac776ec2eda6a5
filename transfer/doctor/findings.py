"""What is wrong with a data set: one sentence for each kind of problem, with the first few names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

MAX_NAMES = 5


@dataclass(frozen=True)
class Kind:
    """A kind of problem: ``what`` begins its sentence, ``remedy`` ends it."""

    what: str
    remedy: str


UNPACK_AGAIN = "fetch and unpack the archive that holds them again"

MISSING = Kind("missing files or folders", "add what belongs there (docs/data.md)")
WRONG_COUNT = Kind("splits of the wrong size", "complete them: a result on other images is not the protocol's")
UNREADABLE_IMAGE = Kind("images that cannot be read", UNPACK_AGAIN)
UNREADABLE_ANNOTATION = Kind("annotations that cannot be read", UNPACK_AGAIN)
WRONG_SIZE = Kind("images whose size is not what their annotation or mask says", UNPACK_AGAIN)
IMPOSSIBLE_LABEL = Kind("masks with impossible labels", "convert them again, as the data set's guide says")
BROKEN_MASK = Kind("broken masks of objects", UNPACK_AGAIN)
BROKEN_BOX = Kind("broken boxes", UNPACK_AGAIN)
UNKNOWN_CLASS = Kind("objects of unknown classes", "use the data set's own annotation files")
UNKNOWN_IMAGE = Kind("annotations of images that are not listed", "use the data set's own annotation files")
REPEATED = Kind("names that are listed more than once", "use the data set's own lists")
NOT_SORTED = Kind(
    "folders whose images are not sorted into classes",
    "sort them into a folder for each class, as the data set's guide says",
)
OTHER_CLASSES = Kind("classes that only the training or only the test images have", UNPACK_AGAIN)
LEAK = Kind("test images among the training images", "use the data set's own lists")


class Findings:
    """Problems of the data set below ``root``, in the order in which their kinds were first found."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[Kind, set[str]] = {}

    def name(self, path: Path) -> str:
        """What a file is called below the root."""
        return path.relative_to(self.root).as_posix()

    def add(self, kind: Kind, where: Path | str) -> None:
        """Notes a problem, once for each ``where``: a path below the root, or any name."""
        self._names.setdefault(kind, set()).add(self.name(where) if isinstance(where, Path) else where)

    def kinds(self) -> set[Kind]:
        """The kinds of problems found."""
        return set(self._names)

    def sentences(self, *, but: Collection[Kind] = ()) -> list[str]:
        """One for each kind of problem except ``but``, with its first names in alphabetical order."""
        sentences = []
        for kind, names in self._names.items():
            if kind not in but:
                more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
                shown = ", ".join(sorted(names)[:MAX_NAMES])
                sentences.append(f"{kind.what} ({len(names):,}): {shown}{more}; {kind.remedy}")
        return sentences
