"""The eleven data sets of classification, tiny, in the layouts that their archives unpack to."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from scipy.io import savemat

from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.datasets.voc2007 import VOC_CLASSES

Colour = tuple[int, int, int]
SPLITS = ("train", "val", "test")
SIZE = (20, 16)  # width, height
PER_CLASS = {"train": 4, "val": 2, "test": 3}


@dataclass
class Written:
    """What a fixture holds.

    Attributes:
        classes: in the order of the labels.
        images: split to (colour, label) of each image, in the order of the lists; the images are of one colour each.
        lists: the files that say what is in the splits.
        test_only: files that nothing but the test needs.
    """

    classes: tuple[str, ...]
    images: dict[str, list[tuple[Colour, Any]]] = field(default_factory=dict)
    lists: list[Path] = field(default_factory=list)
    test_only: list[Path] = field(default_factory=list)

    def paint(self, path: Path, split: str, label: int, truth: Any = None) -> None:
        """Writes the next image of a split; ``truth`` is what its label should be read as."""
        colour = next_colour(label, split, len(self.images.setdefault(split, [])))
        self.images[split].append((colour, label if truth is None else truth))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, colour).save(path, quality=95)
        if split == "test":
            self.test_only.append(path)

    def write_list(self, path: Path, lines: list[str], *, of_test: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self.note_list(path, of_test=of_test)

    def note_list(self, path: Path, *, of_test: bool = False) -> None:
        (self.test_only if of_test else self.lists).append(path)


def next_colour(label: int, split: str, number: int) -> Colour:
    """Red tells the class, so that it can be learned; no two images of a fixture have one colour."""
    return 20 + 60 * label, 5 * (number % 50), 10 * SPLITS.index(split)


def interleaved(classes: tuple[str, ...], split: str) -> Iterator[tuple[int, int, str]]:
    """(number within the split from 0, label, class name): the classes take turns."""
    for number in range(PER_CLASS[split] * len(classes)):
        label = number % len(classes)
        yield number, label, classes[label]


def food101(root: Path) -> Written:
    home = root / "food-101"
    written = Written(("apple_pie", "baby_back_ribs", "waffles"))
    written.write_list(home / "meta/classes.txt", list(written.classes))
    for split in ("train", "test"):
        names = []
        for number, label, name in interleaved(written.classes, split):
            names.append(f"{name}/{len(split)}{number:03d}")
            written.paint(home / f"images/{names[-1]}.jpg", split, label)
        written.write_list(home / f"meta/{split}.txt", names, of_test=split == "test")
        by_class = {name: [each for each in names if each.startswith(f"{name}/")] for name in written.classes}
        (home / f"meta/{split}.json").write_text(json.dumps(by_class))  # what torchvision reads
    return written


def dtd(root: Path) -> Written:
    home = root / "dtd"
    written = Written(("banded", "blotchy", "zigzagged"))
    for split in SPLITS:
        names = []
        for number, label, name in interleaved(written.classes, split):
            names.append(f"{name}/{name}_{split}{number:04d}.jpg")
            written.paint(home / f"images/{names[-1]}", split, label)
        written.write_list(home / f"labels/{split}1.txt", names, of_test=split == "test")
        written.write_list(home / f"labels/{split}2.txt", names[::-1], of_test=True)  # of another split: never read
    return written


def aircraft(root: Path) -> Written:
    home = root / "fgvc-aircraft-2013b/data"
    written = Written(("707-320", "An-12", "F-16A/B", "Model B200"))
    written.write_list(home / "variants.txt", list(written.classes))
    for split in SPLITS:
        lines = []
        for number, label, name in interleaved(written.classes, split):
            lines.append(f"{SPLITS.index(split)}{number:06d} {name}")
            written.paint(home / f"images/{lines[-1].split()[0]}.jpg", split, label)
        written.write_list(home / f"images_variant_{split}.txt", lines, of_test=split == "test")
    return written


def pets(root: Path) -> Written:
    home = root / "oxford-iiit-pet"
    written = Written(("Abyssinian", "american_bulldog", "yorkshire_terrier"))
    for split, list_name in {"train": "trainval", "test": "test"}.items():
        lines = []
        for number, label, name in interleaved(written.classes, split):
            lines.append(f"{name}_{len(split)}{number} {label + 1} {1 + label % 2} 1")
            written.paint(home / f"images/{lines[-1].split()[0]}.jpg", split, label)
        written.write_list(home / f"annotations/{list_name}.txt", lines, of_test=split == "test")
    return written


# Of image_0001.jpg to image_0033.jpg of each class, those that are not among the 30 for training, written down when the
# split was made: results under another split would not compare.
CALTECH_TEST = {
    "BACKGROUND_Google": (6, 11, 12),
    "Faces": (10, 12, 32),
    "accordion": (7, 10, 11),
}


def caltech101(root: Path) -> Written:
    home = root / "caltech101/101_ObjectCategories"
    written = Written(("BACKGROUND_Google", "Faces", "accordion"))
    for label, name in enumerate(written.classes):
        for number in range(1, 34):
            split = "test" if number in CALTECH_TEST[name] else "train"
            written.paint(home / f"{name}/image_{number:04d}.jpg", split, label)
    (home / "BACKGROUND_Google/tmp").write_bytes(b"")  # the archive has it
    return written


def flowers102(root: Path) -> Written:
    home = root / "flowers-102"
    written = Written(tuple(str(number) for number in range(1, 103)))
    sets: dict[str, list[int]] = {}
    labels: list[int] = []
    for split, variable in {"test": "tstid", "train": "trnid", "val": "valid"}.items():
        for _, label, _ in interleaved(written.classes[:3], split):
            labels.append(label + 1)
            sets.setdefault(variable, []).append(len(labels))
            written.paint(home / f"jpg/image_{len(labels):05d}.jpg", split, label)
    savemat(home / "setid.mat", {name: np.array([ids], dtype=np.uint16) for name, ids in sets.items()})
    savemat(home / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)})
    written.lists += [home / "setid.mat", home / "imagelabels.mat"]
    return written


def cars(root: Path) -> Written:
    home = root / "stanford_cars"
    written = Written(("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012"))
    (home / "devkit").mkdir(parents=True)
    savemat(home / "devkit/cars_meta.mat", {"class_names": np.array(written.classes, dtype=object)[None]})
    written.note_list(home / "devkit/cars_meta.mat")
    lists = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    kinds = [(f"bbox_{side}", "O") for side in ("x1", "y1", "x2", "y2")] + [("class", "O"), ("fname", "O")]
    for split, list_name in lists.items():
        records = []
        for number, label, _ in interleaved(written.classes, split):
            records.append((1, 1, *SIZE, label + 1, f"{number + 1:05d}.jpg"))
            written.paint(home / f"cars_{split}/{records[-1][-1]}", split, label)
        savemat(home / list_name, {"annotations": np.array([records], dtype=kinds)})
        written.note_list(home / list_name, of_test=split == "test")
    return written


def sun397(root: Path) -> Written:
    home = root / "SUN397"
    written = Written(("a/abbey", "a/apartment_building/outdoor", "y/youth_hostel"))
    written.write_list(root / "Partitions/ClassName.txt", [f"/{name}" for name in written.classes])
    for split, list_name in {"train": "Training", "test": "Testing"}.items():
        names = []
        for number, label, name in interleaved(written.classes, split):
            names.append(f"{name}/sun_{split}{number:04d}.jpg")
            written.paint(home / names[-1], split, label)
        written.write_list(
            root / f"Partitions/{list_name}_01.txt", [f"/{name}" for name in names], of_test=split == "test"
        )
    return written


def voc2007(root: Path) -> Written:
    home = root / "VOCdevkit/VOC2007"
    written = Written(VOC_CLASSES)
    counts = {"1": 1, "-1": 0, " 0": -1}
    for split in SPLITS:
        columns: dict[str, list[str]] = {name: [] for name in VOC_CLASSES}
        names = []
        for number in range(3 * PER_CLASS[split]):
            names.append(f"{SPLITS.index(split)}{number:05d}")
            marks = ["1" if label in (number % 3, 19) else " 0" if label == 5 else "-1" for label in range(20)]
            written.paint(
                home / f"JPEGImages/{names[-1]}.jpg", split, number % 3, tuple(counts[mark] for mark in marks)
            )
            for name, mark in zip(VOC_CLASSES, marks, strict=True):
                columns[name].append(f"{names[-1]} {mark:>2}")
        written.write_list(home / f"ImageSets/Main/{split}.txt", names, of_test=split == "test")
        for name, lines in columns.items():
            written.write_list(home / f"ImageSets/Main/{name}_{split}.txt", lines, of_test=split == "test")
    return written


def cifar10(root: Path) -> Written:
    written = Written(("airplane", "automobile", "bird"))
    files = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
    _write_pickles(root / "cifar-10-batches-py", written, files, "labels", "batches.meta", "label_names")
    return written


def cifar100(root: Path) -> Written:
    written = Written(("apple", "aquarium_fish", "baby"))
    files = {"train": ["train"], "test": ["test"]}
    _write_pickles(root / "cifar-100-python", written, files, "fine_labels", "meta", "fine_label_names")
    return written


def _write_pickles(
    home: Path, written: Written, files: dict[str, list[str]], labels_key: str, meta: str, names_key: str
) -> None:
    home.mkdir(parents=True)
    python2_pickle(home / meta, {names_key: list(written.classes)})
    written.note_list(home / meta)
    for split, names in files.items():
        for place, name in enumerate(names):
            chosen = [row for row in interleaved(written.classes, split) if row[0] % len(names) == place]
            pixels = np.stack([cifar_image(written, split, label) for _, label, _ in chosen])
            labels = [label for _, label, _ in chosen]
            python2_pickle(home / name, {"data": pixels.reshape(len(labels), -1), labels_key: labels})
            written.note_list(home / name, of_test=split == "test")


def cifar_image(written: Written, split: str, label: int) -> Any:
    """(3, 32, 32) uint8 of one colour, which is noted."""
    colour = next_colour(label, split, len(written.images.setdefault(split, [])))
    written.images[split].append((colour, label))
    return np.broadcast_to(np.array(colour, dtype=np.uint8)[:, None, None], (3, 32, 32))


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes text and bytes as the strings of Python 2, as the published files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def python2_pickle(path: Path, content: Any) -> None:
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(content)
    path.write_bytes(buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


FIXTURES: dict[str, Callable[[Path], Written]] = {
    "food101": food101,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "sun397": sun397,
    "cars": cars,
    "aircraft": aircraft,
    "voc2007": voc2007,
    "dtd": dtd,
    "pets": pets,
    "caltech101": caltech101,
    "flowers102": flowers102,
}


def assert_as_written(images: LabelledImages, written: Written, split: str) -> None:
    """The split has the classes, labels and images that the fixture wrote, in their order."""
    expected = written.images[split]
    assert images.classes == written.classes
    np.testing.assert_array_equal(images.labels, [label for _, label in expected])
    for row, (colour, _) in enumerate(expected):
        image = images.read(row)
        assert image.mode == "RGB" and image.size in (SIZE, (32, 32))
        np.testing.assert_allclose(np.asarray(image).reshape(-1, 3).mean(axis=0), colour, atol=3)  # JPEG
