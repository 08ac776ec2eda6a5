"""Pictures of a trial: a fixed handful of test images with their masks, beside what the model predicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from numpy.typing import NDArray
from PIL import Image

from transfer.tasks.pictures import drawn_indices, drawn_size, save_side_by_side
from transfer.tasks.segmentation.masks import IGNORED
from twist_common.images import rgb

OPACITY = 0.6


def draw_pictures(runner: Runner, folder: Path) -> list[Path]:
    """Draws image, truth and prediction side by side, for images spread evenly over the test set.

    Args:
        runner: after its test.
        folder: where the pictures go, as JPEG files named after the image.

    Returns:
        The files, in the test set's order.
    """
    palette = runner.test_loop.dataloader.dataset.metainfo["palette"]
    files = []
    for path, image, result in tested_images(runner):
        truth, prediction = (each.data[0].cpu().numpy() for each in (result.gt_sem_seg, result.pred_sem_seg))
        files.append(folder / f"{path.stem}.jpg")
        save_side_by_side(draw(image, truth, prediction, palette), files[-1])
    return files


def tested_images(runner: Runner) -> Iterator[tuple[Path, Image.Image, SegDataSample]]:
    """File, image and what was annotated and predicted, for images spread evenly over the test set."""
    dataset = runner.test_loop.dataloader.dataset
    for index in drawn_indices(len(dataset)):
        with torch.no_grad():
            (result,) = runner.model.test_step(pseudo_collate([dataset[index]]))
        path = Path(result.img_path)
        with Image.open(path) as image:
            yield path, rgb(image), result


def draw(
    image: Image.Image, truth: NDArray[Any], prediction: NDArray[Any], palette: list[list[int]]
) -> list[Image.Image]:
    """Image, true mask and predicted mask as high as all pictures; ignored pixels are white in both masks.

    Args:
        image: of the masks' size, RGB.
        truth, prediction: (H, W) class indices; 255 is ignored.
        palette: a colour (red, green, blue) for each class.
    """
    size = drawn_size(truth.shape)
    ignored = truth == IGNORED
    sides = [image.resize(size, Image.Resampling.BILINEAR)]
    for mask in (truth, prediction):
        colours = np.full((*truth.shape, 3), 255, dtype=np.uint8)
        colours[~ignored] = np.asarray(palette, dtype=np.uint8)[mask[~ignored]]
        mask_picture = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
        sides.append(Image.blend(sides[0], mask_picture, OPACITY))
    return sides
