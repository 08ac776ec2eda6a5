"""Masks and images as people have them: the stored pixels, and IoU over the classes that exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transfer import benchmarks
from transfer.tasks.segmentation.checks import point_to_data
from transfer.tasks.segmentation.config import load_protocol, resolve_config

NAMES = ("background", "cat", "dog")


def scored(metric_name: str, predicted: list[int], truth: list[int]) -> dict[str, float]:
    """Percent, of one image of three pixels."""
    from transfer.tasks.segmentation import runner

    runner.register_extensions()
    from mmseg.registry import METRICS

    metric = METRICS.build({"type": metric_name, "iou_metrics": ["mIoU"]})
    metric.dataset_meta = {"classes": NAMES}
    sample = {"pred_sem_seg": {"data": torch.tensor([predicted])}, "gt_sem_seg": {"data": torch.tensor([truth])}}
    metric.process({}, [sample])
    return runner.named(metric.evaluate(1))


@pytest.mark.parametrize(
    ("predicted", "miou"),
    [
        ([0, 1, 1, 0], 100.0),
        ([0, 1, 2, 0], 75.0),  # dog, which no mask has, is predicted once: a miss of cat, no class of its own
        ([0, 2, 2, 0], 50.0),
    ],
)
def test_iou_is_over_the_classes_that_the_masks_have(predicted: list[int], miou: float) -> None:
    truth = [0, 1, 1, 0]
    assert scored("ExistingClassesIoU", predicted, truth)["miou"] == miou
    if 2 not in predicted:
        assert scored("IoUMetric", predicted, truth)["miou"] == miou


def test_with_all_classes_the_figures_are_mmsegmentations() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = (rng.integers(0, 3, 200).tolist() for _ in range(2))
    assert scored("ExistingClassesIoU", predicted, truth) == scored("IoUMetric", predicted, truth)


@pytest.mark.parametrize(("num_classes", "dtype"), [(2, torch.uint8), (3, torch.long), (150, torch.long)])
def test_areas_are_mmsegmentations_to_the_pixel(num_classes: int, dtype: torch.dtype) -> None:
    from mmseg.evaluation import IoUMetric

    from transfer.tasks.segmentation.extensions import ExistingClassesIoU

    generator = torch.Generator().manual_seed(0)
    predicted, label = (torch.randint(num_classes, (300, 200), generator=generator).to(dtype) for _ in range(2))
    label[:50], label[60, :7] = 255, 254  # not labelled; and no class
    args = predicted, label, num_classes, 255
    ours, theirs = ExistingClassesIoU.intersect_and_union(*args), IoUMetric.intersect_and_union(*args)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert theirs[2].sum() == 250 * 200 and theirs[0].sum() > 0


def test_images_are_read_as_they_are_stored(digits: Path, tmp_path: Path) -> None:
    config, _ = resolve_config(load_protocol(benchmarks.get("demo-seg").config_path))
    point_to_data(config, digits)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    from mmseg.registry import TRANSFORMS

    for loader in (config.train_dataloader, config.test_dataloader):
        load = TRANSFORMS.build(dict(loader.dataset.pipeline[0]))
        assert np.array_equal(load({"img_path": str(tmp_path / "turned.png")})["img"], pixels[..., ::-1])
