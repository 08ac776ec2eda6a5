"""How good a pre-trained network is: transfer's linear evaluation of its features, and NMI of its head's argmax."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import nn

from pretrain.data.listing import find_train_folder
from pretrain.distributed import Process
from pretrain.model import Backbone as BackboneModule
from pretrain.model import build_backbone
from pretrain.model.twist_model import build_model
from pretrain.recipe import Recipe, recipe_sha256
from pretrain.run import checkpoint
from pretrain.run.finished import BACKBONE_NAME
from transfer import datasets
from transfer.rows import LabelledDataset
from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets import open_splits
from transfer.tasks.classification.datasets.labelled import LabelledImages, held_out
from transfer.tasks.classification.linear import Labelled, choose_l2, converged, refit
from transfer.tasks.classification.loader import CenterCrop, center_crop
from transfer.tasks.classification.scoring import topk_accuracy
from transfer.tasks.clustering.network import Reader, features_of, head_outputs, load_head
from transfer.weights.backbone import load_backbone
from twist_common.cuda import check_cuda
from twist_common.errors import UserError
from twist_common.files import sha256_file, write_text
from twist_common.gpus import resolve_device
from twist_configs.classification import linear11

EVALUATION_NAME = "evaluation.json"
VERSION = 2  # of what is measured; others are measured again
BATCH_SIZE = 250
MAX_TRAIN_IMAGES = 20_000  # 45 fits of logistic regression: minutes for ImageNet's features rather than days
RESIZE_RATIO = 256 / 224  # of the shorter side to the crop, as usual for ImageNet


@dataclass(frozen=True)
class Evaluation:
    """Shares from 0 to 1, and what they come from.

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


class Evaluator:
    """Evaluates exported networks on the images of one folder, each network once.

    Args:
        data: holds train and val with the same classes; train is thinned out to :data:`MAX_TRAIN_IMAGES` at random.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: the images of one split are missing, or the two have other classes or only one.
    """

    def __init__(self, data: Path, device: str) -> None:
        train_folder, row = find_train_folder(data), datasets.get("folder")
        assert isinstance(row, LabelledDataset)
        splits = open_splits(row, train_folder.parent if train_folder.name == "train" else data)
        self._train, self._val = splits.train, splits.test.open("ablation")
        if len(self._train.classes) < 2:
            raise UserError(f"{data} has images of one class: accuracy and NMI need at least two class folders")
        if len(self._train) > MAX_TRAIN_IMAGES:
            rows = rng(0, Stream.ABLATION_IMAGES).choice(len(self._train), MAX_TRAIN_IMAGES, replace=False)
            self._train = self._train.subset(np.sort(rows))
        self._device = resolve_device(device)
        if self._device == "cuda":
            check_cuda()

    def finished(self, out: Path) -> Evaluation:
        """The evaluation of ``out/backbone.pth``, kept in ``out/evaluation.json``."""
        network, kept = out / BACKBONE_NAME, out / EVALUATION_NAME
        measured = {"version": VERSION, "backbone_sha256": sha256_file(network)}
        content = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        if measured.items() <= content.items():
            return Evaluation(**{field.name: content[field.name] for field in dataclasses.fields(Evaluation)})
        backbone, exported = load_backbone(network), checkpoint.load(network)["preprocessing"]
        module = build_backbone(backbone.arch)
        module.load_state_dict(backbone.state_dict)
        # The digits' recipes, which resample bilinearly, see an image whole; a photograph's border is mostly cut off.
        size, is_whole = exported["size"], exported["interpolation"] == "bilinear"
        crop = CenterCrop(resize=size if is_whole else round(size * RESIZE_RATIO), crop=size)
        view = center_crop(crop, backbone.preprocessing)
        reader = Reader(view=view, batch_size=BATCH_SIZE, device=self._device)
        evaluation = evaluate(module, load_head(backbone), self._train, self._val, reader)
        write_text(kept, json.dumps(measured | dataclasses.asdict(evaluation)) + "\n")
        return evaluation

    def untrained(self, recipe: Recipe, folder: Path) -> Evaluation:
        """The same for the recipe's network as it is initialised, the floor of all figures."""
        out = folder / f"untrained-{recipe.name}-seed{recipe.seed}-{recipe_sha256(recipe)[:8]}"
        if not (out / BACKBONE_NAME).is_file():
            model = build_model(recipe, Process(torch.device("cpu")))
            checkpoint.export_backbone(out / BACKBONE_NAME, model, recipe)
        return self.finished(out)


def evaluate(
    backbone: BackboneModule, head: nn.Module, train: LabelledImages, val: LabelledImages, reader: Reader
) -> Evaluation:
    """Logistic regression on the features of train, scored once on val; NMI of the argmax on val.

    The regression is that of the benchmarks ``*-linear``: their values of l2, and their choice on held-out images.

    Raises:
        UserError: an image cannot be read, or a class has a single training image.
    """
    protocol, val_fraction = linear11.CONFIG, LabelledDataset.val_fraction
    labelled = Labelled(
        features=features_of(backbone, train, reader, lambda rows: None),
        labels=train.labels,
        is_val=held_out(train.labels, val_fraction, rng(0, Stream.HELD_OUT)),
        num_classes=len(train.classes),
    )
    l2 = choose_l2(labelled, protocol, "top1", device=reader.device).l2
    fits = refit(labelled, protocol, device=reader.device)  # weaker l2, which take longest, are not needed
    classifier = converged(next(solution for solution in fits if solution.l2 == l2), protocol)
    outputs = head_outputs(backbone, head, val, reader, lambda rows: None, k=1)
    return Evaluation(
        acc=topk_accuracy(classifier.scores(outputs.features), val.labels, 1),
        nmi=float(normalized_mutual_info_score(val.labels, outputs.ranked[:, 0])),
        l2=l2,
        num_train=len(train),
        num_val=len(val),
    )
