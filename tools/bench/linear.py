"""Linear evaluation against scikit-learn's path and against SGD probing.

The path: 45 values of l2 from strong to weak with warm starts, by us and by scikit-learn's L-BFGS. Both have to bring
the gradient below the same bound: ours its Euclidean norm, scikit-learn's its largest entry, which is less.

Probing: the embedded digits at 224 pixels. One pass of the backbone, the choice among 45 values and 45 last fits,
against 100 epochs that pass the backbone each time. One such pass is measured, without the head's own work, and
multiplied by 100.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from pretrain.model import build_backbone
from tools.bench.case import Args, Case
from transfer import datasets
from transfer.rows import LabelledDataset
from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.classification.datasets.labelled import LabelledImages, held_out
from transfer.tasks.classification.linear import Labelled, choose_l2, refit
from transfer.tasks.classification.loader import CenterCrop, center_crop
from transfer.tasks.classification.logistic import fit_path
from transfer.tasks.classification.scoring import outputs
from transfer.trials.plan import data_root
from transfer.weights.backbone import load_backbone, random_backbone
from twist_common.errors import UserError
from twist_configs.classification.linear11 import CONFIG

PROBING_EPOCHS = 100  # of SGD on a frozen backbone: the usual linear probing on ImageNet
Solutions = dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]]  # weight (D, C) and bias (C,) by l2


def linear_cases(args: Args) -> list[Case]:
    """The path on three sets of features, then the probing."""
    num_images = 1000 if args.images is None else args.images
    if num_images < 100:
        raise UserError(f"--images is {num_images}: linear needs 100 or more")
    digits = datasets.get("cls-digits")
    assert isinstance(digits, LabelledDataset)
    train = list_split(digits, data_root(digits, args.data), "train")

    def spread(num: int) -> LabelledImages:
        """This many images, evenly from all classes."""
        return train.subset(np.linspace(0, len(train) - 1, num).astype(int))

    images, few = spread(num_images), spread(num_images // 5)
    pixels, pixel_labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    many_labels = np.arange(num_images) % 100  # overlapping classes, features of different scales
    centres = rng.normal(size=(100, 64))
    many = (centres[many_labels] + rng.normal(size=(num_images, 64))) * np.logspace(0, -1, 64)
    threads = args.threads or 1
    return [
        path_case("pixels", pixels[:num_images] / 16, pixel_labels[:num_images], threads),
        path_case("features", network_features(images, args.weights, None), images.labels.astype(np.int64), threads),
        path_case("100-classes", many, many_labels, threads),
        *probing_cases(few, args.probing_arch, threads),
    ]


def network_features(images: LabelledImages, weights: str, size: int | None) -> NDArray[np.float32]:
    """(N, D) features at ``size`` pixels, or at the images' own."""
    arch = weights.removeprefix("random:")
    backbone = random_backbone(arch, 0) if arch != weights else load_backbone(weights)
    with torch.device("cpu"):
        module = build_backbone(backbone.arch)
    module.load_state_dict(backbone.state_dict)
    view = center_crop(CenterCrop(resize=size, crop=size), backbone.preprocessing)
    return outputs(module, images, view, batch_size=50, device="cpu")


def path_case(name: str, features: NDArray[np.floating], labels: NDArray[np.int64], threads: int) -> Case:
    """Both paths, and how far each got."""
    wide, num_classes = features.astype(np.float64), int(labels.max()) + 1
    zero, frequencies = np.zeros((wide.shape[1], num_classes)), np.log(np.bincount(labels) / len(labels))
    bound = CONFIG.tolerance * float(np.linalg.norm(gradient(wide, labels, zero, frequencies, 0.0)))
    found: dict[str, Solutions] = {}

    def ours() -> None:
        path = fit_path(wide, labels, num_classes, CONFIG.l2_grid, tolerance=CONFIG.tolerance, max_iter=CONFIG.max_iter)
        found["ours"] = {s.l2: (s.weight.numpy(), s.bias.numpy()) for s in path}

    def scikit_learn() -> None:
        found["scikit-learn"] = scikit_learn_path(wide, labels, CONFIG.l2_grid, bound)

    def note() -> str:
        worst = {
            who: max(float(np.abs(gradient(wide, labels, *fit, l2)).max()) for l2, fit in path.items()) / bound
            for who, path in found.items()
        }
        reached = ", ".join(f"{who} {share:.2f}" for who, share in worst.items())
        return f"largest gradient entry, in parts of the bound: {reached}"

    what = f"path of {len(CONFIG.l2_grid)} l2, {wide.shape} features, {num_classes} classes, against scikit-learn's"
    return Case(f"linear-{name}", what, "s", ours, scikit_learn, 1.0, threads=threads, slow="textbook", note=note)


def scikit_learn_path(
    features: NDArray[np.float64], labels: NDArray[np.int64], grid: tuple[float, ...], bound: float
) -> Solutions:
    """scikit-learn's solution for every l2, each started from the one before."""
    regression = LogisticRegression(tol=bound, max_iter=100_000, warm_start=True)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how far it got is measured
        for l2 in sorted(grid, reverse=True):
            regression.C = 1 / (l2 * len(labels))
            regression.fit(features, labels)
            found[l2] = regression.coef_.T.copy(), regression.intercept_.copy()
    return found


def gradient(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    l2: float,
) -> NDArray[np.float64]:
    """(D + 1, C) of mean cross-entropy + l2 / 2 * |W|^2, the biases' in the last row."""
    residual = softmax(features @ weight + bias, axis=1)
    residual[np.arange(len(labels)), labels] -= 1
    residual /= len(labels)
    return np.vstack([features.T @ residual + l2 * weight, residual.sum(0)])


def probing_cases(images: LabelledImages, arch: str, threads: int) -> list[Case]:
    """A trial's linear evaluation, with its pass of the backbone and from cached features, against epochs of passes."""
    extract = functools.partial(network_features, images, f"random:{arch}", 224)
    cached = functools.cache(extract)
    labels = images.labels.astype(np.int64)

    def fits() -> None:
        is_val = held_out(labels, 0.2, rng(0, Stream.HELD_OUT))
        labelled = Labelled(features=cached(), labels=labels, is_val=is_val, num_classes=len(images.classes))
        choose_l2(labelled, CONFIG, "top1", device="cpu")
        list(refit(labelled, CONFIG, device="cpu"))

    whats = {
        "linear-probing": "one pass and all fits",  # the first call makes the pass
        "linear-probing-cached": "all fits on cached features",
    }
    against = f"{arch}, {len(images)} images of 224 pixels, against {PROBING_EPOCHS} epochs of backbone passes"
    options: dict[str, Any] = {"threads": threads, "slow": "both", "textbook_factor": PROBING_EPOCHS}
    return [Case(name, f"{what}, {against}", "s", fits, extract, 50, **options) for name, what in whats.items()]
