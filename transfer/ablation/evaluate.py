"""How good a pre-trained network is: linear accuracy of its frozen features, and NMI of its head's argmax.

A small evaluation for comparing runs with one another. Trustworthy transfer figures are the business of ``transfer``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn
from torchvision.transforms import v2

from common.errors import UserError
from common.files import sha256_file, write_text
from pretrain.data.images import ImageFolderSource, UnreadableImageError, decode, find_train_folder
from pretrain.distributed import Process
from pretrain.model import ProjectionHead, TwistModel, build_backbone
from pretrain.model.build import build_model
from pretrain.recipe import Recipe, recipe_sha256
from pretrain.run import checkpoint
from pretrain.run.finished import BACKBONE_NAME
from transfer.ablation.linear import choose_l2, fit

EVALUATION_NAME = "evaluation.json"
VERSION = 1  # of what is measured; others are measured again
BATCH_SIZE = 256
MAX_TRAIN_IMAGES = 20_000  # logistic regression on the CPU: minutes for ImageNet's features rather than days
RESIZE_RATIO = 256 / 224  # of the shorter side to the crop, as usual for ImageNet


@dataclass(frozen=True)
class Evaluation:
    """Shares in 0 to 1, and what they come from.

    Attributes:
        acc: of val images that the linear classifier gets right.
        nmi: between the head's argmax and the labels of val.
        l2: chosen on held-out training images.
    """

    acc: float
    nmi: float
    l2: float
    num_train: int
    num_val: int


@dataclass(frozen=True)
class Split:
    """Paths (N) and labels (N,) of images."""

    paths: Sequence[Path]
    labels: NDArray[np.int64]


def find_splits(data: Path) -> tuple[Split, Split]:
    """Train and val of the data; the first thinned out at random to :data:`MAX_TRAIN_IMAGES`.

    Raises:
        UserError: there is no val with the same classes beside train.
    """
    train_folder = find_train_folder(data)
    val_folder = train_folder.parent / "val"
    if train_folder.name != "train" or not val_folder.is_dir():
        raise UserError(f"{data} has no val/<class>/<image> beside its train: accuracy and NMI need labelled images")
    names = [sorted(path.name for path in folder.iterdir() if path.is_dir()) for folder in (train_folder, val_folder)]
    if names[0] != names[1] or len(names[0]) < 2:
        raise UserError(f"{train_folder} and {val_folder} need the same class folders, at least two: mend one of them")
    return _split(train_folder, MAX_TRAIN_IMAGES), _split(val_folder, None)


def _split(folder: Path, limit: int | None) -> Split:
    source = ImageFolderSource(folder)
    labels = source.labels.numpy()
    if limit is None or len(labels) <= limit:
        return Split(source.paths, labels)
    chosen = np.sort(np.random.default_rng(0).choice(len(labels), limit, replace=False))
    return Split([source.paths[index] for index in chosen], labels[chosen])


class Evaluator:
    """Evaluates exported networks on the images of one folder, each network once.

    Args:
        data: see :func:`find_splits`.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: see :func:`find_splits`.
    """

    def __init__(self, data: Path, device: str) -> None:
        self._splits = find_splits(data)
        self._device = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")

    def finished(self, out: Path) -> Evaluation:
        """The evaluation of ``out/backbone.pth``, kept in ``out/evaluation.json``."""
        sha256 = sha256_file(out / BACKBONE_NAME)
        kept = read(out, sha256)
        if kept is not None:
            return kept
        exported = checkpoint.load(out / BACKBONE_NAME)
        backbone = build_backbone(exported["arch"])
        backbone.load_state_dict(exported["backbone"])
        head = ProjectionHead(**exported["head_config"])
        head.load_state_dict(exported["head"])
        evaluation = evaluate(TwistModel(backbone, head), exported["preprocessing"], self._splits, self._device)
        content = {"version": VERSION, "backbone_sha256": sha256, **dataclasses.asdict(evaluation)}
        write_text(out / EVALUATION_NAME, json.dumps(content) + "\n")
        return evaluation

    def untrained(self, recipe: Recipe, folder: Path) -> Evaluation:
        """The same for the recipe's network as it is initialised, the floor of all figures."""
        out = folder / f"untrained-{recipe.name}-seed{recipe.seed}-{recipe_sha256(recipe)[:8]}"
        if not (out / BACKBONE_NAME).is_file():
            model = build_model(recipe, Process(torch.device("cpu")))
            checkpoint.export_backbone(out / BACKBONE_NAME, model, recipe)
        return self.finished(out)


def read(out: Path, backbone_sha256: str) -> Evaluation | None:
    """What was written for these weights, or None."""
    path = out / EVALUATION_NAME
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if (content["version"], content["backbone_sha256"]) != (VERSION, backbone_sha256):
        return None
    return Evaluation(**{field.name: content[field.name] for field in dataclasses.fields(Evaluation)})


def evaluate(
    model: TwistModel, preprocessing: dict[str, Any], splits: tuple[Split, Split], device: torch.device
) -> Evaluation:
    """Logistic regression on the features of train, scored once on val; NMI of the argmax on val.

    Args:
        preprocessing: ``size``, ``mean``, ``std`` and ``interpolation``, as exported with the weights.
        splits: train and val.

    Raises:
        UserError: an image cannot be read.
    """
    model.to(device).eval()
    train, val = splits
    train_features, _ = _outputs(model, train.paths, preprocessing, device)
    val_features, predictions = _outputs(model, val.paths, preprocessing, device)
    l2 = choose_l2(train_features, train.labels)
    accuracy = float(fit(train_features, train.labels, l2).score(val_features, val.labels))
    nmi = float(normalized_mutual_info_score(val.labels, predictions))
    return Evaluation(accuracy, nmi, l2, len(train.paths), len(val.paths))


@torch.no_grad()
def _outputs(
    model: TwistModel, paths: Sequence[Path], preprocessing: dict[str, Any], device: torch.device
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features (N, D) and the head's argmax (N,)."""
    features, predictions = [], []
    for images in _batches(paths, _transform(preprocessing)):
        feature = model.backbone(images.to(device))
        predictions.append(model.head(feature).argmax(dim=-1).cpu().numpy())
        features.append(feature.double().cpu().numpy())
    return np.concatenate(features), np.concatenate(predictions)


def _batches(paths: Sequence[Path], transform: nn.Module) -> Iterator[Tensor]:
    for start in range(0, len(paths), BATCH_SIZE):
        yield torch.stack([transform(_image(path)) for path in paths[start : start + BATCH_SIZE]])


def _image(path: Path) -> Tensor:
    """(3, H, W) of uint8."""
    try:
        return torch.from_numpy(decode(path.read_bytes()).copy()).permute(2, 0, 1)
    except (OSError, UnreadableImageError) as error:
        raise UserError(f"cannot read the image {path} ({error}): replace or remove it") from None


def _transform(preprocessing: dict[str, Any]) -> nn.Module:
    size = preprocessing["size"]
    # The digits' recipes, which resample bilinearly, see an image whole; of a photograph's border little is looked at.
    if preprocessing["interpolation"] == "bilinear":
        resize = v2.Resize(size, v2.InterpolationMode.BILINEAR, antialias=True)
    else:
        resize = v2.Resize(round(size * RESIZE_RATIO), v2.InterpolationMode.BICUBIC, antialias=True)
    normalize = v2.Normalize(preprocessing["mean"], preprocessing["std"])
    return v2.Compose([resize, v2.CenterCrop(size), v2.ToDtype(torch.float32, scale=True), normalize])
