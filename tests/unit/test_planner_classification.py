"""What classification and clustering tell the planner of their protocols, counted by hand."""

from __future__ import annotations

from tests.unit.test_planner_estimate import work_of
from tests.unit.test_planner_work import phases


def test_images_of_the_digits_protocols() -> None:
    assert phases(work_of("demo-1pct", arch="resnet18")) == {"fine-tuning": (40, 800), "test images": (1000, 1000)}
    assert phases(work_of("imagenet-1pct"))["fine-tuning"] == (20 * 51, 20 * 12_812)
    assert phases(work_of("demo-heads")) == {"heads": (80, 8000), "test images": (1000, 1000)}
    assert work_of("folder-1pct").phases == ()  # of how many images, nobody knows
    assert phases(work_of("demo-linear", "labels_per_class=20")) == {"features": (1200, 1200)}
    assert phases(work_of("demo-cluster")) == {"test images": (1000, 1000)}
    assert phases(work_of("demo-kmeans")) == {"training images": (1000, 1000), "test images": (1000, 1000)}


def test_images_of_imagenet_s_clustering() -> None:
    assert phases(work_of("imagenet-cluster")) == {"test images": (50_000, 50_000)}
    images = {"training images": (7000, 7000), "test images": (50_000, 50_000)}
    assert phases(work_of("imagenet-kmeans", "kmeans_images=7000")) == images


def test_images_of_a_grid_of_trainings() -> None:
    images = {"points of the grid": (6 * 5000, 6 * 5000 * 256), "train and val": (20_000, 20_000 * 256)}
    assert phases(work_of("dtd-finetune-cheap")) == images | {"test images": (1880, 1880)}
    assert phases(work_of("food101-finetune"))["points of the grid"][0] == 56 * 20_000
