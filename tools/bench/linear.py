"""``tools/bench_linear.sh``: linear evaluation against scikit-learn's path and against SGD probing, as ratios."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common import cli
from common.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from transfer.tasks.classification.datasets.labelled import LabelledImages

Result = TypeVar("Result")
PROBING_EPOCHS = 100  # of SGD on a frozen backbone: the usual linear probing on ImageNet
TARGETS = {"scikit-learn": 1.0, "probing": 50.0}


@dataclass(frozen=True)
class Args:
    """Measures both ways in one process and prints a line for each comparison.

    The path: 45 values of l2 from strong to weak with warm starts, by us and by scikit-learn's L-BFGS. Both have to
    bring the gradient below the same bound: ours its Euclidean norm, scikit-learn's its largest entry, which is less.

    Probing: the embedded digits at 224 pixels. One pass of the backbone, the choice among 45 values and 45 last fits,
    against 100 epochs that pass the backbone each time. One such pass is measured twice, without the head's own work,
    and multiplied by 100.
    """

    weights: str = "random:resnet18"
    """features of the path's comparison: a checkpoint or random:ARCH"""
    probing_arch: str = "resnet50"
    """the backbone of the probing"""
    images: int = 1000
    """digits of the path's comparison; the probing has a fifth of them"""
    threads: int = 1
    """threads of both ways"""
    data: Path | None = None
    """the embedded data; default $DATA_ROOT/digits"""


def main(args: Args) -> int:
    if args.images < 100 or args.threads < 1:
        raise UserError("--images must be 100 or more, and --threads 1 or more")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)
    import torch

    from transfer import datasets
    from transfer.rows import LabelledDataset
    from transfer.tasks.classification.datasets import list_split
    from transfer.trials.plan import data_root

    torch.set_num_threads(args.threads)
    digits = datasets.get("cls-digits")
    assert isinstance(digits, LabelledDataset)
    train = list_split(digits, data_root(digits, args.data), "train")
    for name, (features, labels) in feature_sets(train, args).items():
        compare_paths(name, features, labels)
    compare_probing(spread(train, args.images // 5), args.probing_arch)
    return cli.EXIT_DONE


def feature_sets(train: LabelledImages, args: Args) -> dict[str, tuple[NDArray[np.floating], NDArray[np.int64]]]:
    """Pixels, a network's features, and many overlapping classes of features with other scales."""
    import numpy as np
    from sklearn.datasets import load_digits

    pixels, pixel_labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    many_labels = np.arange(args.images) % 100
    centres = rng.normal(size=(100, 64))
    many = (centres[many_labels] + rng.normal(size=(args.images, 64))) * np.logspace(0, -1, 64)
    images = spread(train, args.images)
    return {
        "digits' pixels": (pixels[: args.images] / 16, pixel_labels[: args.images]),
        f"features of {args.weights}": (network_features(images, args.weights, None), images.labels.astype(np.int64)),
        "100 classes": (many, many_labels),
    }


def spread(train: LabelledImages, num_images: int) -> LabelledImages:
    """So many images, of all classes alike."""
    import numpy as np

    return train.subset(np.linspace(0, len(train) - 1, num_images).astype(int))


def network_features(images: LabelledImages, weights: str, size: int | None) -> NDArray[np.float32]:
    """(N, D) features at ``size`` pixels, or at the images' own."""
    from pretrain.model import build_backbone
    from transfer.tasks.classification.loader import CenterCrop, center_crop
    from transfer.tasks.classification.scoring import outputs
    from transfer.weights.backbone import load_backbone, random_backbone

    arch = weights.removeprefix("random:")
    backbone = random_backbone(arch, 0) if arch != weights else load_backbone(weights)
    module = build_backbone(backbone.arch)
    module.load_state_dict(backbone.state_dict)
    view = center_crop(CenterCrop(resize=size, crop=size), backbone.preprocessing)
    return outputs(module, images, view, batch_size=50, device="cpu")


def compare_paths(name: str, features: NDArray[np.floating], labels: NDArray[np.int64]) -> None:
    """Times both paths and says how far each got."""
    import numpy as np

    from configs.classification.linear11 import CONFIG
    from transfer.tasks.classification.logistic import fit_path

    wide, num_classes = features.astype(np.float64), int(labels.max()) + 1
    zero = np.zeros((wide.shape[1], num_classes))
    frequencies = np.log(np.bincount(labels) / len(labels))
    bound = CONFIG.tolerance * float(np.linalg.norm(gradient(wide, labels, zero, frequencies, 0.0)))
    seconds, path = timed(
        lambda: list(
            fit_path(wide, labels, num_classes, CONFIG.l2_grid, tolerance=CONFIG.tolerance, max_iter=CONFIG.max_iter)
        )
    )
    ours = {s.l2: gradient(wide, labels, s.weight.numpy(), s.bias.numpy(), s.l2) for s in path}
    theirs_seconds, theirs = timed(lambda: scikit_learn_path(wide, labels, CONFIG.l2_grid, bound))
    worst = [max(float(np.abs(each).max()) for each in gradients.values()) / bound for gradients in (ours, theirs)]
    ratio = theirs_seconds / seconds
    print(
        f"path, {name} {wide.shape}, {num_classes} classes: {ratio:.2f} times scikit-learn (ours {seconds:.2f} s, "
        f"scikit-learn {theirs_seconds:.2f} s; largest gradient entry, in parts of the bound: ours {worst[0]:.2f}, "
        f"scikit-learn {worst[1]:.2f}); {verdict(ratio, 'scikit-learn')}",
        flush=True,
    )


def scikit_learn_path(
    features: NDArray[np.float64], labels: NDArray[np.int64], grid: tuple[float, ...], bound: float
) -> dict[float, NDArray[np.float64]]:
    """The gradient at scikit-learn's solution for every l2, each started from the one before."""
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(tol=bound, max_iter=100_000, warm_start=True)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is measured how far it got
        for l2 in sorted(grid, reverse=True):
            regression.C = 1 / (l2 * len(labels))
            regression.fit(features, labels)
            found[l2] = gradient(features, labels, regression.coef_.T, regression.intercept_, l2)
    return found


def gradient(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    l2: float,
) -> NDArray[np.float64]:
    """(D + 1, C) of mean cross-entropy + l2 / 2 * |W|^2, the biases' in the last row."""
    import numpy as np
    from scipy.special import softmax

    residual = softmax(features @ weight + bias, axis=1)
    residual[np.arange(len(labels)), labels] -= 1
    residual /= len(labels)
    return np.vstack([features.T @ residual + l2 * weight, residual.sum(0)])


def compare_probing(images: LabelledImages, arch: str) -> None:
    """Times one trial's linear evaluation and one epoch of backbone passes over the same images."""
    import numpy as np

    from configs.classification.linear11 import CONFIG
    from transfer.tasks.classification.datasets.labelled import held_out
    from transfer.tasks.classification.linear import Labelled, choose_l2, refit

    def extract() -> NDArray[np.float32]:
        return network_features(images, f"random:{arch}", 224)

    first_seconds, features = timed(extract)
    labels = images.labels.astype(np.int64)
    labelled = Labelled(
        features=features, labels=labels, is_val=held_out(labels, 0.2, 0), num_classes=len(images.classes)
    )
    fits_seconds, _ = timed(
        lambda: (choose_l2(labelled, CONFIG, "top1", device="cpu"), refit(labelled, CONFIG, device="cpu"))
    )
    second_seconds, _ = timed(extract)
    epoch_seconds = (first_seconds + second_seconds) / 2  # one figure for both ways, or noise decides
    for what, seconds in (
        ("one pass and all fits", epoch_seconds + fits_seconds),
        ("all fits on cached features", fits_seconds),
    ):
        ratio = PROBING_EPOCHS * epoch_seconds / seconds
        print(
            f"probing, {arch}, {len(images)} images of 224 pixels: {what} {ratio:.0f} times faster than "
            f"{PROBING_EPOCHS} epochs (ours {seconds:.2f} s, one epoch of backbone passes {epoch_seconds:.2f} s, "
            f"multiplied); {verdict(ratio, 'probing')}",
            flush=True,
        )


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Wall seconds and what the call gave."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def verdict(ratio: float, target: str) -> str:
    return f"target {TARGETS[target]:g}: {'reached' if ratio >= TARGETS[target] else 'MISSED'}"


if __name__ == "__main__":
    cli.run(Args, main, prog="tools/bench_linear.sh")
