"""How far predicted depths are from true ones: the metric, what one depth everywhere would score, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from mmseg.evaluation import DepthMetric
from numpy.typing import NDArray
from PIL import Image

from transfer.outcomes.depths import METRICS, Depths
from transfer.outcomes.file import packed
from transfer.tasks.pictures import drawn_size, save_side_by_side
from transfer.tasks.segmentation.depth_files import FARTHEST, MILLIMETRE, stored_depths
from transfer.tasks.segmentation.pictures import tested_images
from twist_common.errors import UserError

SOURCES = {"rmse_cm": "rmse", "abs_rel": "abs_rel", "delta1": "d1"}  # MMSegmentation's names, in metres and shares
assert tuple(SOURCES) == METRICS


class DepthErrors(DepthMetric):
    """MMSegmentation's errors of each image, averaged over the images that have a true depth.

    They are taken image by image, so that no depths are kept. ``errors`` are those of the images that were scored last,
    ``truths`` the number of their true depths and the sum in millimetres.
    """

    errors: NDArray[np.float64]
    truths: NDArray[np.int64]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        for sample in data_samples:
            truth = sample["gt_depth_map"]["data"].squeeze()
            self.results.append(self.of_image(sample["pred_depth_map"]["data"].squeeze(), truth))

    def of_image(self, depths: torch.Tensor, truth: torch.Tensor) -> tuple[list[float], tuple[int, int]]:
        """Errors in the order of :data:`SOURCES`; count and sum of the true depths, by which images are told apart."""
        truth = truth.to(depths)
        known = self._get_eval_mask(truth)
        count, total = int(known.sum()), int((truth[known].double() / MILLIMETRE).round().sum())
        if not count:
            return [0.0] * len(SOURCES), (0, 0)
        found = self._calc_all_metrics(truth[known], depths[known])
        return [100.0 * found[name] for name in SOURCES.values()], (count, total)

    def compute_metrics(self, results: list[tuple[list[float], tuple[int, int]]]) -> dict[str, float]:
        """Means in cm and percent."""
        self.errors = np.array([errors for errors, _ in results])
        self.truths = np.array([truth for _, truth in results])
        return self.outcomes().metrics()

    def outcomes(self) -> Depths:
        """What was found for each image."""
        return Depths(self.errors, *self.truths.T)


def outcomes_of(runner: Runner) -> bytes:
    """The outcomes of the test images (:func:`transfer.outcomes.file.packed`)."""
    return packed(runner.test_loop.evaluator.metrics[0].outcomes())


def mean_everywhere(runner: Runner) -> dict[str, float]:
    """What the mean depth of the test images scores, taken for the depth of every pixel.

    Raises:
        UserError: no test image has a depth where depths are compared.
    """
    dataset, metric = runner.test_loop.dataloader.dataset, runner.test_loop.evaluator.metrics[0]
    paths = [Path(dataset.get_data_info(index)["depth_map_path"]) for index in range(len(dataset))]
    count, total = 0, 0.0
    for path in paths:
        truth = _metres(path)
        known = metric._get_eval_mask(truth)
        count, total = count + int(known.sum()), total + float(truth[known].double().sum())
    if not count:
        raise UserError(f"none of the {len(paths)} test images has a depth where depths are compared")
    scored = [metric.of_image(torch.full_like(truth, total / count), truth) for truth in map(_metres, paths)]
    found: dict[str, float] = metric.compute_metrics(scored)
    return found


def _metres(path: Path) -> torch.Tensor:
    return torch.from_numpy(stored_depths(path).astype(np.float32) * np.float32(MILLIMETRE))


def draw_depths(runner: Runner, folder: Path) -> list[Path]:
    """Draws image, true and predicted depths side by side: near is white, far is black, unknown is red.

    Args:
        runner: after its test.
        folder: where the pictures go, as JPEG files named after the image and its folder.
    """
    files = []
    for path, image, result in tested_images(runner):
        truth, prediction = (each.data[0].cpu().numpy() for each in (result.gt_depth_map, result.pred_depth_map))
        sides = [image, _greys(truth), _greys(prediction)]
        size = drawn_size(truth.shape)
        files.append(folder / f"{path.parent.name}-{path.stem}.jpg")
        save_side_by_side([side.resize(size, Image.Resampling.NEAREST) for side in sides], files[-1])
    return files


def _greys(depths: NDArray[Any]) -> Image.Image:
    grey = (255 * (1 - np.clip(depths / FARTHEST, 0, 1))).astype(np.uint8)
    return Image.fromarray(np.where((depths > 0)[..., None], grey[..., None], np.array([255, 0, 0], dtype=np.uint8)))
