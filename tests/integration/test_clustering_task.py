"""Clustering trials on the embedded digits: class head, random head with precise statistics, k-means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UserError
from common.files import sha256_file, sha256_text
from pretrain.model import ProjectionHead, build_backbone
from transfer import benchmarks
from transfer.backbone import load_backbone
from transfer.clustering import assign, task
from transfer.trial import Outcome, Trial, WeightsRef

HEAD_CONFIG = {"in_features": 512, "hidden": 16, "num_classes": 12}


def save_export(path: Path, *, with_head: bool) -> None:
    torch.manual_seed(3)
    export = {"format": "twist-transfer", "version": 1, "arch": "resnet18"}
    export["backbone"] = build_backbone("resnet18").state_dict()
    head = ProjectionHead(**HEAD_CONFIG)
    export["head"] = head.state_dict() if with_head else None
    export["head_config"] = HEAD_CONFIG if with_head else None
    torch.save(export, path)


@pytest.fixture
def run(digits: Path, tmp_path: Path) -> Callable[..., Outcome]:
    torch.set_num_threads(1)

    def run_trial(source: str, *overrides: str, seed: int = 0) -> Outcome:
        sha256 = sha256_text(source) if source.startswith("random:") else sha256_file(Path(source))
        return task.run(
            Trial(
                benchmark=benchmarks.get("demo-cluster"),
                weights=WeightsRef(name="weights", source=source, sha256=sha256),
                seed=seed,
                data=digits,
                overrides=overrides,
                device="cpu",
                work_dir=tmp_path,
                weights_dir=tmp_path,
            )
        )

    return run_trial


def test_a_checkpoint_s_head_decides_and_the_seed_does_not(run: Callable[..., Outcome], tmp_path: Path) -> None:
    save_export(tmp_path / "twist.pth", with_head=True)
    first, second = (run(str(tmp_path / "twist.pth"), seed=seed) for seed in (0, 1))
    assert first == second
    assert list(first.metrics) == ["nmi", "ami", "ari", "acc"]
    assert json.loads(first.resolved_config)["clusters_from"] == "class head"
    assert first.references["one cluster"] == pytest.approx({"nmi": 0, "ami": 0, "ari": 0, "acc": 10})


def test_without_a_head_k_means_is_used_and_said(run: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "torchvision.pth"
    torch.manual_seed(4)
    torch.save(build_backbone("resnet18").state_dict(), path)
    outcome = run(str(path), "kmeans_restarts=2")
    assert json.loads(outcome.resolved_config)["clusters_from"] == "k-means on frozen features"
    assert outcome.protocol_difference == ["kmeans_restarts: 10 -> 2"]
    assert 10 < outcome.metrics["acc"].value < 60  # random features: above one cluster, far from solved
    assert outcome == run(str(path), "kmeans_restarts=2")


def test_random_weights_get_a_random_head_drawn_from_the_seed(run: Callable[..., Outcome]) -> None:
    quick = ("random_statistics_images=250", "random_head_hidden=32")
    first, again, other = (run("random:resnet18", *quick, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.metrics != other.metrics
    assert json.loads(first.resolved_config)["clusters_from"] == "class head"
    assert first.metrics["acc"].value < 40


def test_precise_statistics_are_the_images_own() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.BatchNorm1d(5, affine=False))
    images = 3 + 2 * torch.randn(200, 3, 2, 2)
    assign.estimate_statistics(model, images, batch_size=50, device="cpu")
    assert not model.training
    with torch.no_grad():
        activations = model[:2](images)
        outputs = model(images)
    assert torch.allclose(model[2].running_mean, activations.mean(0), atol=1e-5)
    # the mean of four batches' variances: a little under the variance of all, never the initial 1
    assert torch.allclose(model[2].running_var, activations.var(0), rtol=0.1)
    assert outputs.mean(0).abs().max() < 1e-4


def test_k_means_finds_separate_blobs() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 25)
    features = (10 * np.eye(4)[labels] + rng.normal(size=(100, 4))).astype(np.float32)
    clusters = assign.kmeans_clusters(features, 4, restarts=3, seed=0)
    assert len({(a, b) for a, b in zip(labels.tolist(), clusters.tolist(), strict=True)}) == 4


def test_a_damaged_head_is_a_user_error(tmp_path: Path) -> None:
    save_export(tmp_path / "twist.pth", with_head=True)
    export = torch.load(tmp_path / "twist.pth", weights_only=True)
    del export["head"]["nbs.running_mean"]
    torch.save(export, tmp_path / "damaged.pth")
    with pytest.raises(UserError, match="class head"):
        assign.load_head(load_backbone(tmp_path / "damaged.pth"))
