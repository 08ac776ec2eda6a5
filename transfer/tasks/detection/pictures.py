"""Pictures of a trial: for a fixed handful of test images, what is annotated beside what the model detected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, MetadataCatalog, detection_utils
from detectron2.structures import BoxMode, Instances
from detectron2.utils.colormap import colormap
from PIL import Image, ImageDraw
from torch import nn

from transfer.tasks.detection.data import load_dicts, register_dataset
from transfer.tasks.pictures import HEIGHT, drawn_indices, drawn_size, save_side_by_side

MAX_OBJECTS = 20
MASK_OPACITY = 0.45


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One object: box (x0, y0, x1, y1) in pixels of the image, what to write, class, mask (H, W) or None."""

    box: tuple[float, float, float, float]
    text: str
    category: int
    mask: np.ndarray | None = None


def draw_pictures(cfg: CfgNode, model: nn.Module, root: Path, folder: Path) -> list[Path]:
    """Draws truth (left) and detections (right) for images spread evenly over the test set.

    As many detections are shown as there are objects, best first, with their scores: a threshold would leave the
    pictures of a briefly trained model empty.

    Args:
        cfg: the trial's config.
        model: trained; it is in eval mode meanwhile.
        root: the data root.
        folder: where the pictures go, as JPEG files named after the image.

    Returns:
        The files, in the test set's order.
    """
    names = cfg.DATASETS.TEST
    dicts = load_dicts(names, root, cfg)
    class_names = MetadataCatalog.get(register_dataset(names[0], root, cfg)).thing_classes
    mapper = DatasetMapper(cfg, is_train=False)
    was_training = model.training
    model.eval()
    files = []
    for image in (dicts[index] for index in drawn_indices(len(dicts))):
        with torch.no_grad():
            found = model([mapper(image)])[0]["instances"].to("cpu")
        pixels = detection_utils.read_image(image["file_name"], format="RGB")
        truth = annotated(image, class_names)
        sides = [draw(pixels, truth), draw(pixels, detected(found, class_names, number=len(truth)))]
        files.append(folder / f"{image['image_id']}.jpg")
        save_side_by_side(sides, files[-1])
    model.train(was_training)
    return files


def annotated(image: dict[str, Any], class_names: Sequence[str]) -> list[Drawn]:
    """What is annotated; crowds are left out."""
    objects = [a for a in image["annotations"] if not a.get("iscrowd", 0)][:MAX_OBJECTS]
    return [
        Drawn(
            box=tuple(BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS)),
            text=class_names[a["category_id"]],
            category=a["category_id"],
            mask=_annotated_mask(a.get("segmentation"), image["height"], image["width"]),
        )
        for a in objects
    ]


def _annotated_mask(segmentation: Any, height: int, width: int) -> np.ndarray | None:
    if segmentation is None:
        return None
    if isinstance(segmentation, list):  # polygons
        return detection_utils.polygons_to_bitmask([np.asarray(p, float) for p in segmentation], height, width)
    from pycocotools import mask

    if isinstance(segmentation["counts"], list):
        segmentation = mask.frPyObjects(segmentation, height, width)
    return mask.decode(segmentation).astype(bool)


def detected(instances: Instances, class_names: Sequence[str], *, number: int) -> list[Drawn]:
    """The best detections, at most ``number``."""
    order = torch.argsort(instances.scores, descending=True, stable=True)
    shown = instances[order[:number]]
    masks = shown.pred_masks.numpy() if shown.has("pred_masks") else [None] * len(shown)
    return [
        Drawn(box=tuple(box), text=f"{class_names[category]} {score:.2f}", category=category, mask=mask)
        for box, category, score, mask in zip(
            shown.pred_boxes.tensor.tolist(), shown.pred_classes.tolist(), shown.scores.tolist(), masks, strict=True
        )
    ]


def draw(pixels: np.ndarray, objects: Sequence[Drawn]) -> Image.Image:
    """The image at :data:`HEIGHT`, with the objects in their classes' colours.

    Args:
        pixels: (H, W, 3) uint8, RGB.
    """
    colours = colormap(rgb=True)
    pixels = pixels.astype(np.float32)
    for item in objects:
        if item.mask is not None:
            inside = item.mask.astype(bool)
            pixels[inside] += MASK_OPACITY * (colours[item.category % len(colours)] - pixels[inside])
    scale = HEIGHT / pixels.shape[0]
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    picture = picture.resize(drawn_size(pixels.shape[:2]), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(picture)
    for item in objects:
        colour = tuple(int(part) for part in colours[item.category % len(colours)])
        x0, y0, x1, y1 = (coordinate * scale for coordinate in item.box)
        pen.rectangle((x0, y0, x1, y1), outline=colour, width=2)
        at = (x0 + 2, max(0.0, y0 - 12))
        pen.rectangle(pen.textbbox(at, item.text), fill=colour)
        pen.text(at, item.text, fill="black" if sum(colour) > 380 else "white")
    return picture
