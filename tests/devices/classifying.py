"""Steps of classification and clustering on fake tensors: the tasks' own training and reading of images."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from pretrain.model.head import ProjectionHead
from tests.devices.fake_cuda import fake_cuda
from tests.devices.watch import Counts, Watch
from tools.first_hour import gpu_steps
from transfer import benchmarks
from transfer.tasks.classification import finetune, finetune_task, heads_task, knn, loader, logistic, scoring
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.protocol import Precision
from transfer.tasks.clustering import network
from transfer.trial import silent
from transfer.weights.backbone import IMAGENET
from transfer.weights.backbone.network import build_network
from twist_configs.classification import imagenet_1pct, imagenet_linear
from twist_configs.classification import knn as knn_config

NUM_STEPS, COUNTED = 3, 1  # steps, and which of them is counted: the last is logged
SHARE = 16  # images of one process
SIZE = 224


@dataclass
class Loader:
    """In the place of torch's DataLoader: batches of bytes; what is done with one is counted until the next."""

    watch: Watch
    seen: list[Counts]

    def __call__(self, *args: Any, pin_memory: bool, **settings: Any) -> Iterator[Tensor]:
        for step in range(NUM_STEPS):
            self.watch.clear()
            images = torch.empty(SHARE, 3, SIZE, SIZE, dtype=torch.uint8)
            yield self.watch.pin(images) if pin_memory else images
            if step == COUNTED:
                self.seen.append(self.watch.counts())


def work(name: str, arch: str, num_processes: int = 1, fault: str | None = None) -> Counts:
    """What one step does, or one batch that is read; where none is read, all.

    Args:
        name: a key of :data:`WORK`.
        fault: a key of :data:`FAULTS`.
    """
    seen: list[Counts] = []
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(fake_cuda(num_processes))
        for owner, attribute, value in (
            (loader, "DataLoader", Loader(watch, seen)),
            (loader, "_check_room", lambda *args: None),
            (torch, "save", lambda content, file: None),
            (finetune, "torch_backbone", _backbone),
            (finetune, "make_optimizer", _fused_optimizer),
            (heads_task, "torch_backbone", _backbone),
        ):
            stack.enter_context(mock.patch.object(owner, attribute, value))
        if fault:
            stack.enter_context(FAULTS[fault]())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(watch)
        WORK[name](_trial(arch, folder), num_processes)
    return seen[0] if seen else watch.counts()


def _trial(arch: str, folder: Path) -> Any:
    return SimpleNamespace(
        benchmark=benchmarks.get("imagenet-linear"),
        weights=SimpleNamespace(arch=arch, taken=""),
        seed=0,
        data=folder,
        device="cuda",
        work_dir=folder,
        progress=silent,
    )


def _backbone(trial: Any) -> tuple[Any, Any]:
    arch = trial.weights.arch
    return build_network(arch), SimpleNamespace(arch=arch, preprocessing=IMAGENET, sha256="")


def _fused_optimizer(*args: Any) -> torch.optim.SGD:
    optimizer = make_optimizer(*args)
    assert optimizer.defaults["fused"], "SGD of many kernels"
    return optimizer


def _images(num_processes: int = 1) -> LabelledImages:
    labels = np.arange(NUM_STEPS * SHARE * num_processes) % 3
    read: Any = None  # no image is asked for
    return LabelledImages(name="fake", classes=("a", "b", "c"), labels=labels, read=read)


def _train_heads(trial: Any, num_processes: int) -> None:
    protocol = dataclasses.replace(imagenet_linear.CONFIG, epochs=1, batch_size=SHARE * num_processes)
    heads_task.train(trial, protocol, _images(num_processes))


def _finetune(trial: Any, num_processes: int, precision: Precision = "fp32") -> None:
    """Batch norm is over half a batch of one process alone, and over a process's whole share with several."""
    norm_batch = SHARE // 2 if num_processes == 1 else SHARE
    batch_size = SHARE * num_processes
    protocol = dataclasses.replace(
        imagenet_1pct.CONFIG, epochs=1, batch_size=batch_size, norm_batch=norm_batch, precision=precision
    )
    finetune_task.train(trial, protocol, _images(num_processes))


def _score(trial: Any, num_processes: int) -> None:
    view = loader.scoring_view(imagenet_1pct.CONFIG.views, trial.weights.arch, IMAGENET)
    scoring.outputs(_backbone(trial)[0], _images(), view, batch_size=SHARE, device="cuda")


def _cluster(trial: Any, num_processes: int) -> None:
    view = loader.scoring_view(imagenet_1pct.CONFIG.views, trial.weights.arch, IMAGENET)
    backbone, reader = _backbone(trial)[0], network.Reader(view=view, batch_size=SHARE, device="cuda")
    head = ProjectionHead(backbone.num_features, 32, 8)
    network.head_outputs(backbone, head, _images(), reader, lambda rows: None, k=5)


def _features(trial: Any, num_processes: int) -> None:
    """What k-means is fitted to."""
    view = loader.scoring_view(imagenet_1pct.CONFIG.views, trial.weights.arch, IMAGENET)
    reader = network.Reader(view=view, batch_size=SHARE, device="cuda")
    network.features_of(_backbone(trial)[0], _images(), reader, lambda rows: None)


def _estimate_norms(trial: Any, num_processes: int) -> None:
    view = loader.scoring_view(imagenet_1pct.CONFIG.views, trial.weights.arch, IMAGENET)
    reader = network.Reader(view=view, batch_size=SHARE, device="cuda")
    batches = (images for _, images in reader.batches(_images()))
    network.estimate_statistics(_backbone(trial)[0], batches, num_batches=NUM_STEPS, device="cuda")


def _find_neighbors(trial: Any, num_processes: int) -> None:
    """Of test images in two parts."""
    train, test = (np.zeros((rows, 8), np.float32) for rows in (32, 2))
    labels = np.arange(len(train)) % 3
    with mock.patch.object(knn, "SIMILARITIES", len(train)):
        knn.votes(train, labels, test, knn_config.CONFIG, num_classes=3, device="cuda")


def _fit_logistic(trial: Any, num_processes: int, labels: Any) -> None:
    """Two strengths of l2; each gradient is too long, since those of fake tensors would have none."""
    features = np.ones((32, 8), np.float32)
    norm = logistic._Problem.gradient_norm
    with mock.patch.object(logistic._Problem, "gradient_norm", lambda *args: 1 + norm(*args)):
        found = list(logistic.fit_path(features, labels, 3, (1.0, 2.0), tolerance=0.0, max_iter=2, device="cuda"))
    assert all(solution.weight.device.type == "cuda" for solution in found)


def _preflight(trial: Any, num_processes: int) -> None:
    """The passes that are timed on a new machine."""
    with mock.patch.multiple(gpu_steps, WARM_UP=1, STEPS=1):
        gpu_steps.pass_speed(torch.device("cuda"), is_half=True, is_last=True, is_tuned=True)


WORK: dict[str, Callable[[Any, int], None]] = {
    "heads": _train_heads,
    "fine-tuning": _finetune,
    "fine-tuning in bf16": partial(_finetune, precision="bf16"),
    "scores": _score,
    "clusters": _cluster,
    "features for k-means": _features,
    "precise norms": _estimate_norms,
    "neighbours": _find_neighbors,
    "the preflight's passes": _preflight,
    "logistic regression": partial(_fit_logistic, labels=np.arange(32) % 3),
    "logistic regression of several labels": partial(_fit_logistic, labels=np.arange(96).reshape(32, 3) % 2),
}
summed_loss, make_optimizer = finetune.summed_loss, finetune.make_optimizer


def _read(logits: Tensor, targets: Tensor) -> Tensor:
    loss = summed_loss(logits, targets)
    loss.item()
    return loss


FAULTS: dict[str, Callable[[], Any]] = {
    "a value read": lambda: mock.patch.object(finetune, "summed_loss", _read),
    "targets left on the host": lambda: mock.patch.object(
        finetune, "summed_loss", lambda logits, targets: summed_loss(logits, targets.cpu())
    ),
}
