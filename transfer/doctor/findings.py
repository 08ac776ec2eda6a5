"""What is wrong with a data set: one sentence for each kind of problem, with the first few names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

MAX_NAMES = 5


@dataclass(frozen=True)
class Kind:
    """A kind of problem: ``what`` begins its sentence, ``remedy`` ends it, or ``own_remedy`` of the user's own data."""

    what: str
    remedy: str
    own_remedy: str = ""

    def remedy_of(self, *, is_own: bool) -> str:
        """What to do; of the user's own data there is no archive to unpack again."""
        return self.own_remedy if is_own and self.own_remedy else self.remedy


UNPACK_AGAIN = "fetch and unpack the archive that holds them again"

OWN_LISTS = "list each once"

MISSING = Kind(
    "missing files or folders",
    "add what belongs there (docs/data.md)",
    "add them, or correct the names in folders, lists and annotations (docs/own_data.md has the layouts)",
)
EMPTY_CLASS = Kind("classes without an image", UNPACK_AGAIN, "fill their folders or remove them")
WRONG_COUNT = Kind("splits of the wrong size", "complete them: a result on other images is not the protocol's")
UNREADABLE_IMAGE = Kind("images that cannot be read", UNPACK_AGAIN, "save them again or remove them")
UNUSABLE_PIXELS = Kind("images that cannot be used as they are", "convert them, in the same way for all images")
UNREADABLE_ANNOTATION = Kind("annotations that cannot be read", UNPACK_AGAIN, "fix them")
WRONG_SIZE = Kind(
    "images whose size is not what their annotation or mask says",
    UNPACK_AGAIN,
    "give both one size: that of the stored pixels, which no reader turns as the camera says",
)
IMPOSSIBLE_LABEL = Kind(
    "masks with impossible labels",
    "convert them again, as the data set's guide says",
    "correct them, or give these values a class (--classes-file) or none (--ignore-value)",
)
SMOOTHED = Kind(
    "masks whose edges were smoothed, where blends of two classes count as a third",
    UNPACK_AGAIN,
    "make them again: resize masks by nearest neighbours, and never save them as JPEG",
)
INSTANCES = Kind(
    "masks that number objects instead of naming classes",
    "use the masks of classes (VOC's SegmentationClass, not SegmentationObject)",
    "give each class one id in all masks, or take objects as own-coco",
)
OTHER_PALETTE = Kind(
    "masks whose palettes have one colour at several indices, of which the index is the class",
    UNPACK_AGAIN,
    "save all with one palette, or as colours (RGB)",
)
UNUSABLE_DEPTHS = Kind("depths that are not millimetres in 16 bits", "convert them again, as the data set's guide says")
NOTHING_LABELLED = Kind("test masks without a labelled pixel, all of them", "convert them again: nothing can be scored")
BROKEN_MASK = Kind(
    "broken masks of objects",
    UNPACK_AGAIN,
    "give polygons of three corners or more, [[x1, y1, x2, y2, x3, y3, ...]], in the image, run lengths that fill it, "
    "or no segmentation at all",
)
NO_MASK = Kind(
    "objects without a mask, all of a file's",
    "use annotations with polygons or run lengths, or a benchmark of boxes alone",
)
BROKEN_BOX = Kind(
    "broken boxes",
    UNPACK_AGAIN,
    "give pixels of the stored image: x, y, width, height in COCO's form, corners in VOC's",
)
UNKNOWN_CLASS = Kind("objects of unknown classes", "use the data set's own annotation files")
UNKNOWN_IMAGE = Kind(
    "annotations of images that are not listed",
    "use the data set's own annotation files",
    "list these images, or remove the annotations",
)
REPEATED = Kind("names that are listed more than once", "use the data set's own lists", OWN_LISTS)
SEVERAL_COLUMNS = Kind("lists with more than a name per line", "leave the names alone, without folder and suffix")
NOT_SORTED = Kind(
    "folders whose images are not sorted into classes",
    "sort them into a folder for each class, as the data set's guide says",
)
OTHER_CLASSES = Kind(
    "classes that only the training or only the test images have",
    UNPACK_AGAIN,
    "give both the same class folders, or remove those",
)
TWIN_CLASSES = Kind("classes whose names differ by case, spaces or signs alone", "give them one name")
ONE_CLASS = Kind(
    "images of a single class",
    UNPACK_AGAIN,
    "sort them into a folder for each class, or write labels (<key>.cls) into the shards",
)
LEAK = Kind("test images among the training images", "use the data set's own lists", "list them in one of both")


class Findings:
    """Problems of the data set below ``root``, in the order in which their kinds were first found."""

    def __init__(self, root: Path, *, is_own: bool = False) -> None:
        self.root = root
        self._is_own = is_own
        self._names: dict[Kind, set[str]] = {}
        self._notes: dict[str, set[str]] = {}

    def name(self, path: Path) -> str:
        """What a file is called below the root, or in full if it is elsewhere."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    def add(self, kind: Kind, where: Path | str) -> None:
        """Notes a problem, once for each ``where``: a path below the root, or any name."""
        self._names.setdefault(kind, set()).add(self.name(where) if isinstance(where, Path) else where)

    def note(self, what: str, where: Path | str) -> None:
        """Notes what is no problem but worth knowing, once for each ``where``."""
        self._notes.setdefault(what, set()).add(self.name(where) if isinstance(where, Path) else where)

    def notes(self) -> list[str]:
        """One sentence for each, with its first names."""
        return [f"{what} ({len(names):,}): {_first(names)}" for what, names in self._notes.items()]

    def kinds(self) -> set[Kind]:
        """The kinds of problems found."""
        return set(self._names)

    def sentences(self, *, but: Collection[Kind] = ()) -> list[str]:
        """One for each kind of problem except ``but``, with its first names in alphabetical order."""
        sentences = []
        for kind, names in self._names.items():
            if kind not in but:
                remedy = kind.remedy_of(is_own=self._is_own)
                sentences.append(f"{kind.what} ({len(names):,}): {_first(names)}; {remedy}")
        return sentences


def _first(names: set[str]) -> str:
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return ", ".join(sorted(names)[:MAX_NAMES]) + more
