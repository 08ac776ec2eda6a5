"""Clustering trials on the embedded digits: class head, random head with precise statistics, k-means."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from tests.outcome_checks import assert_metrics_follow
from tests.untouched import Asked, assert_untouched_until_scoring, watch
from transfer import benchmarks
from transfer.tasks.classification.protocol import load_protocol
from transfer.tasks.clustering import kmeans, task
from transfer.tasks.clustering import network as heads
from transfer.trial import Outcome, Trial, WeightsRef
from transfer.weights.backbone import load_backbone
from twist_common.errors import UserError
from twist_common.files import sha256_file, sha256_text

HEAD_CONFIG = {"in_features": 512, "hidden": 16, "num_classes": 12}
METRICS = ["nmi", "ami", "ami_max", "ari", "acc", "top5", "silhouette"]
PICTURES = ["confusion.png", "usage.png", "top3.png"]
QUICK = ("kmeans_restarts=2", "kmeans_images=200")


def save_export(path: Path, *, num_classes: int = 12) -> Path:
    torch.manual_seed(3)
    config = {**HEAD_CONFIG, "num_classes": num_classes}
    export = {"format": "twist-transfer", "version": 1, "arch": "resnet18"}
    export["backbone"] = build_backbone("resnet18").state_dict()
    export["head"] = ProjectionHead(**config).state_dict()
    export["head_config"] = config
    torch.save(export, path)
    return path


@pytest.fixture(scope="module")
def some_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 training and 20 test images of each digit: the same layout, a fifth of the time."""
    root = tmp_path_factory.mktemp("some")
    for split, number in (("train", 30), ("val", 20)):
        for folder in sorted((digits / "imagefolder" / split).iterdir()):
            target = root / "imagefolder" / split / folder.name
            target.mkdir(parents=True)
            for image in sorted(folder.iterdir())[:number]:
                shutil.copy(image, target)
    return root


@pytest.fixture
def run(some_digits: Path, tmp_path: Path) -> Callable[..., Outcome]:
    torch.set_num_threads(1)

    def run_trial(source: str | Path, *overrides: str, seed: int = 0, name: str = "demo-cluster") -> Outcome:
        source = str(source)
        sha256 = sha256_text(source) if source.startswith("random:") else sha256_file(Path(source))
        return task.run(
            Trial(
                benchmark=benchmarks.get(name),
                weights=WeightsRef(name="weights", source=source, sha256=sha256),
                seed=seed,
                data=some_digits,
                overrides=overrides,
                device="cpu",
                work_dir=tmp_path,
                weights_dir=tmp_path,
            )
        )

    return run_trial


def test_a_checkpoint_s_head_decides_and_the_seed_does_not(run: Callable[..., Outcome], tmp_path: Path) -> None:
    twist = save_export(tmp_path / "twist.pth")
    first, pictures = run(twist), [(tmp_path / name).read_bytes() for name in PICTURES]
    again, same_pictures = run(twist), [(tmp_path / name).read_bytes() for name in PICTURES]
    other, other_pictures = run(twist, seed=1), [(tmp_path / name).read_bytes() for name in PICTURES]
    assert first == again == other
    assert pictures == same_pictures
    assert [one == two for one, two in zip(pictures, other_pictures, strict=True)] == [True, True, False]
    assert list(first.metrics) == METRICS
    assert first.references["one cluster"] == pytest.approx({"nmi": 0, "ami": 0, "ami_max": 0, "ari": 0, "acc": 10})
    assert [path.name for path in first.pictures] == PICTURES
    assert_record_tells_all(first)


def assert_record_tells_all(outcome: Outcome) -> None:
    assert outcome.test_scorings == [{"split": "val", "num_images": 200, "purpose": "final scoring"}]
    assert outcome.choices["clusters_from"] == "class head"
    assert outcome.choices["num_clusters"] == 12
    assert 1 <= outcome.choices["matched_clusters"] <= 10
    assert outcome.choices["matched_clusters"] <= outcome.choices["used_clusters"] <= 12
    assert (outcome.choices["silhouette_images"], outcome.choices["silhouette_standard_error"]) == (200, 0)


def test_without_a_head_k_means_is_used_and_said(run: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "torchvision.pth"
    torch.manual_seed(4)
    torch.save(build_backbone("resnet18").state_dict(), path)
    outcome = run(path, *QUICK)
    assert outcome.choices["clusters_from"] == "k-means on frozen features"
    assert outcome.choices["num_clusters"] == 10
    assert outcome.choices["kmeans_algorithm"] == "Lloyd"
    assert outcome.choices["kmeans_fitted_images"] == 200
    assert outcome.protocol_difference == ["kmeans_images: 1000 -> 200", "kmeans_restarts: 10 -> 2"]
    assert 10 < outcome.metrics["acc"].value < 70  # random features: above one cluster, far from solved
    assert outcome.metrics["acc"].value < outcome.metrics["top5"].value <= 100
    assert outcome == run(path, *QUICK)
    assert_metrics_follow(outcome, but=["silhouette"])
    other = run(path, *QUICK, seed=1)  # other training images and starts
    assert other.metrics != outcome.metrics
    by_head = run(save_export(tmp_path / "twist.pth"), *QUICK)
    assert by_head.choices["clusters_from"] == "class head"
    assert by_head.resolved_config == other.resolved_config == outcome.resolved_config  # one protocol, one table


def test_k_means_has_a_benchmark_in_which_a_head_is_not_used(run: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = run(save_export(tmp_path / "twist.pth"), *QUICK, name="demo-kmeans")
    assert outcome.choices["clusters_from"] == "k-means on frozen features"
    assert json.loads(outcome.resolved_config)["clusters_from"] == "kmeans"


def test_images_are_resized_bilinearly_as_the_official_code_does(run: Callable[..., Outcome], tmp_path: Path) -> None:
    protocols = [load_protocol(benchmarks.get(f"{name}-cluster"), ())[0] for name in ("imagenet", "demo")]
    assert {protocol.interpolation for protocol in protocols} == {"bilinear"}
    twist, changes = save_export(tmp_path / "twist.pth"), (*QUICK, "resize=40", "crop=32")
    bilinear, bicubic = (run(twist, *changes, *more, name="demo-kmeans") for more in ((), ("interpolation=bicubic",)))
    assert "interpolation: bilinear -> bicubic" in bicubic.protocol_difference
    assert bilinear.metrics["silhouette"] != bicubic.metrics["silhouette"]


@pytest.mark.parametrize("num_classes", [3, 40])
def test_fewer_and_more_clusters_than_labels_are_scored(
    num_classes: int, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = run(save_export(tmp_path / "twist.pth", num_classes=num_classes))
    assert outcome.choices["num_clusters"] == num_classes
    assert 0 < outcome.metrics["acc"].value <= outcome.metrics["top5"].value <= 100
    if num_classes == 3:
        assert outcome.metrics["top5"].value <= 30  # three of ten equal classes have a cluster
    assert all((tmp_path / name).stat().st_size > 1000 for name in PICTURES)


def test_more_k_means_clusters_than_labels_and_more_than_images(run: Callable[..., Outcome]) -> None:
    quick = (*QUICK, "random_statistics_images=100")
    outcome = run("random:resnet18", *quick, "kmeans_clusters=25", name="demo-kmeans")
    assert outcome.choices["num_clusters"] == 25
    assert outcome.choices["clusters_from"] == "k-means on frozen features"
    with pytest.raises(UserError, match="raise kmeans_images"):
        run("random:resnet18", *quick, "kmeans_clusters=201", name="demo-kmeans")


def test_random_weights_get_a_random_head_drawn_from_the_seed(run: Callable[..., Outcome]) -> None:
    quick = ("random_statistics_images=100", "random_head_hidden=32")
    first, again, other = (run("random:resnet18", *quick, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.metrics != other.metrics
    assert first.choices["clusters_from"] == "class head"
    assert first.metrics["acc"].value < 40


def test_a_wrong_way_to_clusters_is_refused(run: Callable[..., Outcome]) -> None:
    with pytest.raises(UserError, match="kmeans"):
        run("random:resnet18", "clusters_from=k-means")


def test_precise_statistics_are_the_images_own() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.BatchNorm1d(5, affine=False))
    images = 3 + 2 * torch.randn(200, 3, 2, 2)
    heads.estimate_statistics(model, images.split(50), num_batches=4, device="cpu")
    assert not model.training
    with torch.no_grad():
        activations = model[:2](images)
        outputs = model(images)
    assert torch.allclose(model[2].running_mean, activations.mean(0), atol=1e-5)
    # the mean of four batches' variances: a little under the variance of all, never the initial 1
    assert torch.allclose(model[2].running_var, activations.var(0), rtol=0.1)
    assert outputs.mean(0).abs().max() < 1e-4


def test_no_test_image_is_opened_or_listed_until_the_clusters_are_made(some_digits: Path, tmp_path: Path) -> None:
    head, random = str(save_export(tmp_path / "twist.pth")), "random:resnet18"
    quick = (*QUICK, "random_statistics_images=100")
    asked = [
        Asked(benchmark=name, data=str(some_digits), work_dir=str(tmp_path), source=source, overrides=quick)
        for name, source in (("demo-cluster", head), ("demo-cluster", random), ("demo-kmeans", head))
    ]
    for watched in watch(asked):
        assert_untouched_until_scoring(watched, [some_digits / "imagefolder" / "val"])
        assert watched.outcome["test_scorings"] == [{"split": "val", "num_images": 200, "purpose": "final scoring"}]


@pytest.mark.parametrize(("minibatch_above", "algorithm"), [(100, "Lloyd"), (99, "MiniBatchKMeans")])
def test_k_means_finds_separate_blobs_and_ranks_centres_by_distance(minibatch_above: int, algorithm: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 25)
    features = (10 * np.eye(4)[labels] + rng.normal(size=(100, 4))).astype(np.float32)
    fitted = kmeans.fit_kmeans(features, 4, restarts=3, seed=0, minibatch_above=minibatch_above)
    assert fitted.algorithm == algorithm
    ranked, closeness = kmeans.nearest(features, fitted.centres, k=3)
    assert len({(a, b) for a, b in zip(labels.tolist(), ranked[:, 0].tolist(), strict=True)}) == 4
    distances = np.linalg.norm(features[:, None] - fitted.centres[None], axis=2)
    assert (ranked == distances.argsort(axis=1)[:, :3]).all()
    assert closeness == pytest.approx(
        distances.min(axis=1, keepdims=True) / np.sort(distances, axis=1)[:, :3], rel=1e-4
    )


def test_normalised_features_have_length_one_and_zeros_stay() -> None:
    features = np.array([[3, 4], [0, 0]], dtype=np.float32)
    assert kmeans.normalise_(features).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0]]
    assert features[0, 0] == np.float32(0.6)  # in place


def test_a_damaged_head_is_a_user_error(tmp_path: Path) -> None:
    export = torch.load(save_export(tmp_path / "twist.pth"), weights_only=True)
    del export["head"]["nbs.running_mean"]
    torch.save(export, tmp_path / "damaged.pth")
    with pytest.raises(UserError, match="class head"):
        heads.load_head(load_backbone(tmp_path / "damaged.pth"))


def test_logits_that_are_no_numbers_are_a_failure_and_no_cluster(run: Callable[..., Outcome], tmp_path: Path) -> None:
    path = save_export(tmp_path / "twist.pth")
    export = torch.load(path, weights_only=True)
    export["head"]["nbs.running_var"][3] = -1.0
    torch.save(export, path)
    with pytest.raises(FloatingPointError, match="no numbers"):
        run(path)


@pytest.mark.parametrize("name", ["demo", "imagenet", "folder"])
def test_every_name_of_the_command_has_a_benchmark_and_its_k_means_twin(name: str) -> None:
    from transfer.commands.trial_command import typed_names

    protocols = []
    for option in (None, "--kmeans"):
        (benchmark,) = typed_names(benchmarks.CLUSTERING, option)[name]
        protocols.append(load_protocol(benchmarks.get(benchmark), ())[0])
    assert dataclasses.replace(protocols[0], clusters_from="kmeans") == protocols[1]
