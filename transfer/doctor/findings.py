"""What is wrong with a data set: one sentence for each kind of problem, with the first few names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

MAX_NAMES = 5


@dataclass(frozen=True)
class Kind:
    """A kind of problem: ``what`` begins its sentence, ``remedy`` ends it."""

    what: str
    remedy: str


UNPACK_AGAIN = "fetch and unpack the archive that holds them again"

MISSING = Kind("missing files or folders", "put there what belongs there (docs/data.md)")
WRONG_COUNT = Kind("splits of another size", "complete them, a result on other images is not the protocol's")
UNREADABLE_IMAGE = Kind("images that cannot be read", UNPACK_AGAIN)
UNREADABLE_ANNOTATION = Kind("annotations that cannot be read", UNPACK_AGAIN)
WRONG_SIZE = Kind("images of another size than their annotation or mask says", UNPACK_AGAIN)
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
    """Problems, as they are found; in the order of their kinds' first appearance."""

    def __init__(self) -> None:
        self._names: dict[Kind, set[str]] = {}

    def add(self, kind: Kind, name: str) -> None:
        """Notes one problem, once for each ``name``, which says where."""
        self._names.setdefault(kind, set()).add(name)

    def kinds(self) -> set[Kind]:
        """The kinds of problems that there are."""
        return set(self._names)

    def sentences(self, *, but: Collection[Kind] = ()) -> list[str]:
        """One for each kind of problem, except ``but``, with the first names in the order of the alphabet."""
        return [_sentence(kind, sorted(names)) for kind, names in self._names.items() if kind not in but]


def _sentence(kind: Kind, names: list[str]) -> str:
    shown = ", ".join(names[:MAX_NAMES])
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return f"{kind.what} ({len(names):,}): {shown}{more}; {kind.remedy}"
