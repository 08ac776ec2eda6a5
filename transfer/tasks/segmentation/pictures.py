"""Pictures of a trial: a fixed handful of test images with their masks, beside what the model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from numpy.typing import NDArray
from PIL import Image

from common.files import atomic_path, make_dir
from transfer.tasks.segmentation.floor import test_dataset

NUM_PICTURES = 4
HEIGHT = 240  # pixels: readable in a report, some ten kilobytes a picture
GAP = 8
OPACITY = 0.6
IGNORED = 255


def draw_pictures(runner: Runner, folder: Path) -> list[Path]:
    """Draws image, truth and prediction side by side, for images in even distances: the same in every trial.

    Args:
        runner: after its test.
        folder: where the pictures go, as JPEG files named by the image.

    Returns:
        The files, in the test set's order.
    """
    dataset = test_dataset(runner)
    number = min(NUM_PICTURES, len(dataset))
    files = []
    for index in (each * len(dataset) // number for each in range(number)):
        sample = dataset[index]
        with torch.no_grad():
            (result,) = runner.model.test_step(pseudo_collate([sample]))
        image_path = Path(sample["data_samples"].img_path)
        truth = sample["data_samples"].gt_sem_seg.data[0].numpy()
        prediction = result.pred_sem_seg.data[0].cpu().numpy()
        picture = draw(_read(image_path), truth, prediction, dataset.metainfo["palette"])
        file = make_dir(folder) / f"{image_path.stem}.jpg"
        with atomic_path(file) as temporary:
            picture.save(temporary, format="JPEG", quality=88)
        files.append(file)
    return files


def draw(
    image: NDArray[np.uint8], truth: NDArray[Any], prediction: NDArray[Any], palette: list[list[int]]
) -> Image.Image:
    """Image, true mask and predicted mask in a row; ignored pixels are white in both masks.

    Args:
        image: (H, W, 3), RGB.
        truth, prediction: (H, W) class indices; 255 is ignored.
        palette: a colour (red, green, blue) a class.
    """
    height, width = truth.shape
    size = (max(1, round(width * HEIGHT / height)), HEIGHT)
    ignored = truth == IGNORED
    sides = [Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)]
    for mask in (truth, prediction):
        colours = np.full((height, width, 3), 255, dtype=np.uint8)
        colours[~ignored] = np.asarray(palette, dtype=np.uint8)[mask[~ignored]]
        mask_picture = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
        sides.append(Image.blend(sides[0], mask_picture, OPACITY))
    canvas = Image.new("RGB", (len(sides) * size[0] + (len(sides) - 1) * GAP, HEIGHT), "white")
    for place, side in enumerate(sides):
        canvas.paste(side, (place * (size[0] + GAP), 0))
    return canvas


def _read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
