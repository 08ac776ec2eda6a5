"""Images with their annotations, as Detectron2 wants them, from VOC's and COCO's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode
from pycocotools import mask as mask_utils

from transfer.tasks.detection.coco_files import image_path, read_coco
from transfer.tasks.detection.voc_files import image_of, read_annotation, read_names


def voc_dicts(folder: Path, names: Path, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """As Detectron2's loader gives them: difficult objects are trained on, boxes count from 0."""
    dicts = []
    for name in read_names(names, folder / "JPEGImages"):
        path = folder / f"Annotations/{name}.xml"
        try:
            annotation = read_annotation(path)
            labels = [class_names.index(each.name) for each in annotation.objects]
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        objects = [
            {
                "category_id": label,
                "bbox": [each.box[0] - 1, each.box[1] - 1, *each.box[2:]],
                "bbox_mode": BoxMode.XYXY_ABS,
                "difficult": each.difficult,
            }
            for label, each in zip(labels, annotation.objects, strict=True)
        ]
        dicts.append(
            {
                "file_name": str(image_of(folder / "JPEGImages", name)),
                "image_id": name,
                "height": annotation.height,
                "width": annotation.width,
                "annotations": objects,
            }
        )
    return dicts


def coco_dicts(
    annotations: Path, images: Path, registered: str, class_names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """As Detectron2's loader gives them, of what :func:`read_coco` makes of the file.

    Sets the data set's classes in Detectron2's catalog.

    Args:
        class_names: of own data, whose files may number the same categories differently; empty: in the order of ids.
    """
    content, _ = read_coco(annotations)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    names = list(class_names) or [category["name"] for category in categories]
    if class_names:
        labels = {each["id"]: names.index(each["name"]) for each in categories if each["name"] in names}
    else:
        labels = {category["id"]: label for label, category in enumerate(categories)}
    MetadataCatalog.get(registered).set(thing_classes=names, thing_dataset_id_to_contiguous_id=labels)
    objects: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        shape = annotation.get("segmentation")
        if isinstance(shape, list) and shape:
            shape = [polygon for polygon in shape if len(polygon) >= 6 and len(polygon) % 2 == 0]
            if not shape:  # three corners nowhere: Detectron2 leaves the object out
                continue
        elif shape and isinstance(shape["counts"], list):
            shape = mask_utils.frPyObjects(shape, *shape["size"])
        objects[annotation["image_id"]].append(
            {
                "iscrowd": annotation["iscrowd"],
                "bbox": annotation["bbox"],
                "category_id": labels[annotation["category_id"]],
                "bbox_mode": BoxMode.XYWH_ABS,
                **({"segmentation": shape} if shape else {}),
            }
        )
    return [
        {
            "file_name": str(image_path(images, image["file_name"])),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": objects[image["id"]],
        }
        for image in sorted(content["images"], key=lambda image: image["id"])
    ]
