"""Where a data set's images and annotations are on disk: the layouts of :mod:`transfer.datasets`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
DIGIT_CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class VocList:
    """Images of a VOC devkit: ``ImageSets/Main/<names>.txt`` of ``VOC<year>``, or of ``folder`` below the data root."""

    year: int
    names: str
    folder: str = ""


@dataclass(frozen=True)
class MaskList:
    """Images of a VOC devkit: ``ImageSets/Segmentation/<names>.txt``, with their masks in ``folder``."""

    names: str
    folder: str = "SegmentationClass"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where images and annotations are, and how many there are.

    Attributes:
        num_train, num_test: images, as published.
        manifest: the names of both numbers in the ``manifest.json`` of embedded data; then its numbers count.
    """

    num_train: int
    num_test: int
    manifest: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class VocBoxes(Layout):
    """Objects in the XML files of VOC devkits, below the data root or below ``VOCdevkit`` there.

    Attributes:
        prefix: of the lists' names in Detectron2's configs, e.g. ``"digits_"`` in ``digits_voc_2007_test``.
    """

    class_names: tuple[str, ...]
    train: tuple[VocList, ...]
    test: tuple[VocList, ...]
    prefix: str = ""


@dataclass(frozen=True)
class CocoFile:
    """A file of instances and the folder that its images' names are relative to, below COCO's folder."""

    annotations: str
    images: str


@dataclass(frozen=True, kw_only=True)
class CocoBoxes(Layout):
    """COCO's instances; the data root is COCO's folder or holds it as ``coco``.

    Attributes:
        known_empty: images with an empty box in the data set as published.
        prefix: see :class:`VocBoxes`.
        class_names: of own data, in the order of the labels; empty: the files' categories, in the order of their ids.
        has_masks: whether objects have masks, and not boxes alone.
        has_run_lengths: whether masks of training objects are run lengths, and not polygons.
    """

    train: CocoFile = CocoFile("annotations/instances_train2017.json", "train2017")
    test: CocoFile = CocoFile("annotations/instances_val2017.json", "val2017")
    known_empty: tuple[int, ...] = ()
    prefix: str = ""
    class_names: tuple[str, ...] = ()
    has_masks: bool = True
    has_run_lengths: bool = False


@dataclass(frozen=True, kw_only=True)
class VocMasks(Layout):
    """Masks of class indices in a VOC devkit.

    Attributes:
        devkit: the year's folder below the data root.
        num_classes: background included.
    """

    devkit: str
    num_classes: int
    train: tuple[MaskList, ...]
    test: tuple[MaskList, ...]


@dataclass(frozen=True, kw_only=True)
class CityscapesMasks(Layout):
    """Cityscapes' fine annotations, 19 classes."""


@dataclass(frozen=True, kw_only=True)
class AdeMasks(Layout):
    """ADE20K's scene parsing, ``ADEChallengeData2016``: 150 classes from 1, and 0 for all else, which is ignored."""


@dataclass(frozen=True, kw_only=True)
class DepthLists(Layout):
    """Images with depths, by lists below the data root (:mod:`transfer.tasks.segmentation.depth_files`)."""

    train: str
    test: str


@dataclass(frozen=True)
class MaskFolders:
    """Images and their masks in parallel folders below the data root.

    Attributes:
        names: a list of the images, below the data root; empty: all in the folder.
        ending: what a mask's name has after its image's, e.g. ``"_mask"``.
    """

    images: str
    masks: str
    names: str = ""
    ending: str = ""


@dataclass(frozen=True, kw_only=True)
class OwnMasks(Layout):
    """A user's own masks.

    Attributes:
        class_names: in the order of the labels.
        values: what pixels of each class hold: an id, or a colour (:func:`transfer.tasks.segmentation.masks.pixels`).
        ignored: values of pixels that are not labelled.
    """

    train: MaskFolders
    test: MaskFolders
    class_names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
