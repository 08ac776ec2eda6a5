"""Frozen features on disk, shared by the trials of one initialisation, and checked on each use."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.loader import CenterCrop, center_crop
from transfer.tasks.classification.protocol import KnnProtocol, LinearProtocol, Precision
from transfer.tasks.classification.scoring import outputs
from transfer.trial import Trial
from transfer.weights.backbone import Backbone
from transfer.weights.of_trial import torch_backbone
from twist_common.files import atomic_path, make_dir, named_in_errors, sha256_bytes, sha256_text

NUM_PROBES = 4  # images whose features are computed again on each use
PROBE_TOLERANCE = 0.05  # of the features' standard deviation over images; another image is about 1 away


@dataclass(frozen=True, kw_only=True)
class FeatureCache:
    """The features of one backbone for images as they are evaluated.

    A file is used only if its bytes have the hash that it holds, if it was made from the same weights, labels and
    settings, and if a few of its images, read again, still have these features. Otherwise it is made anew.

    Attributes:
        folder: where the files go; made when needed.
        module: of ``backbone``; it is left in eval mode on ``device``.
        taken: which of the checkpoint's networks it is (:attr:`transfer.trial.WeightsRef.taken`).
        batch_size: part of what features depend on, in the last digits.
    """

    folder: Path
    module: nn.Module
    backbone: Backbone
    taken: str
    view: CenterCrop
    batch_size: int
    device: str
    precision: Precision = "fp32"

    @classmethod
    def of_trial(cls, trial: Trial, protocol: LinearProtocol | KnnProtocol) -> FeatureCache:
        """Of the trial's weights, for images as its protocol shows them.

        Raises:
            UserError: a bad checkpoint.
        """
        module, backbone = torch_backbone(trial)
        return cls(
            folder=trial.weights_dir / "features",
            module=module,
            backbone=backbone,
            taken=trial.weights.taken,
            view=CenterCrop(resize=protocol.resize, crop=protocol.crop),
            batch_size=protocol.batch_size,
            device=trial.device,
            precision=protocol.precision,
        )

    def features(
        self, images: LabelledImages, root: Path, done: Callable[[int], None] = lambda rows: None
    ) -> NDArray[np.float32]:
        """(N, D) features of these images; of two processes that need them, one waits for the other.

        Args:
            root: the data set's folder.
            done: called with the number of images done.

        Raises:
            UserError: an image cannot be read.
            FloatingPointError: a feature is not finite.
        """
        content = {
            "weights": self.backbone.sha256,
            "taken": self.taken,
            "arch": self.backbone.arch,
            "preprocessing": dataclasses.asdict(self.backbone.preprocessing),
            "view": dataclasses.asdict(self.view),
            "batch_size": self.batch_size,
            "device": self.device,
            "precision": self.precision,
            "torch": torch.__version__,
            "images": images.name,
            "root": str(root),
            "files": images.files_sha256(),
            "labels": sha256_bytes(np.ascontiguousarray(images.labels).tobytes()),
        }
        key = json.dumps(content, sort_keys=True)
        path = self.folder / f"{images.name.replace(' ', '-')}-{sha256_text(key)[:16]}.safetensors"
        with _locked(make_dir(self.folder) / f"{path.name}.lock"):
            found = _read(path, key)
            if found is None or not self._holds(found, images):
                found = self._extract(images, done)
                with atomic_path(path) as temporary:
                    metadata = {"key": key, "sha256": sha256_bytes(found.tobytes())}
                    save_file({"features": found}, temporary, metadata)
        done(len(images))
        return found

    def _extract(self, images: LabelledImages, done: Callable[[int], None] = lambda rows: None) -> NDArray[np.float32]:
        transform = center_crop(self.view, self.backbone.preprocessing)
        features = outputs(
            self.module,
            images,
            transform,
            batch_size=self.batch_size,
            device=self.device,
            precision=self.precision,
            done=done,
        )
        if not np.isfinite(features).all():
            raise FloatingPointError(f"the features of {images.name} are not finite")
        return features

    def _holds(self, features: NDArray[np.float32], images: LabelledImages) -> bool:
        """Whether a few images spread over the split still have the features of the file."""
        if len(features) != len(images):
            return False
        rows = np.unique(np.linspace(0, len(images) - 1, NUM_PROBES).astype(int))
        again = self._extract(images.subset(rows))
        if again.shape[1] != features.shape[1]:
            return False
        difference = np.sqrt(np.mean((again - features[rows]) ** 2))
        return bool(difference <= PROBE_TOLERANCE * features.std(axis=0).mean())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        with named_in_errors(path):
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        except BaseException:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty: others' work
                path.parent.rmdir()
            raise
        path.unlink(missing_ok=True)


def _read(path: Path, key: str) -> NDArray[np.float32] | None:
    """The features of the file if it is whole and made for this key."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            says, features = file.metadata() or {}, file.get_tensor("features")
    except (SafetensorError, OSError):
        return None
    intact = says.get("sha256") == sha256_bytes(features.tobytes())
    return features if intact and says.get("key") == key else None
