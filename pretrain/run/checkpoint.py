"""Checkpoints: plain containers and tensors, written atomically, and read without trusting the file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.data.augment import IMAGENET_MEAN, IMAGENET_STD
from pretrain.model.build import VITS
from pretrain.model.head import head_config
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.model.twist_model import TwistModel
from pretrain.recipe import Recipe, as_dict, recipe_sha256
from pretrain.run.finished import CHECKPOINT_NAME
from twist_common.errors import UserError, is_not_the_files
from twist_common.files import atomic_path, link_or_copy

FORMAT = "twist-transfer"
VERSION = 1

Content = dict[str, Any]


def save(path: Path, content: Content) -> None:
    """Writes ``content`` and this format's name and version to ``path``, atomically."""
    # Given a path, torch writes its name into the file, and the same backbone would get another hash.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save({"format": FORMAT, "version": VERSION, **content}, file)


def save_and_keep(out: Path, epoch: int, content: Content) -> None:
    """Writes the checkpoint under a name with its epoch, which is kept, and then as the current one.

    In this order, a run killed between the two repeats this epoch, and no kept checkpoint is missing.
    """
    kept = out / f"checkpoint-{epoch:04}.pth"
    save(kept, content)
    with atomic_path(out / CHECKPOINT_NAME) as temporary:
        link_or_copy(kept, temporary)


def load(path: Path) -> Content:
    """Reads one of our checkpoints onto the CPU.

    Raises:
        UserError: the file is damaged, not one of ours, or of a later version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        if is_not_the_files(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot read the checkpoint {path} ({reason}): delete it or choose another --out") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of pretrain: delete it or choose another --out")
    if content.get("version") != VERSION:
        raise UserError(
            f"{path} has version {content.get('version')}, this program reads {VERSION}: choose another --out"
        )
    return content


def load_for_resume(out: Path, recipe: Recipe) -> Content | None:
    """The checkpoint to resume from, or None at the start of a run.

    Raises:
        UserError: it cannot be read, or was made with another recipe.
    """
    path = out / CHECKPOINT_NAME
    if not path.is_file():
        return None
    content = load(path)
    if content["recipe_sha256"] != recipe_sha256(recipe):
        changed = ", ".join(differences(content["recipe"], as_dict(recipe))) or "settings of another version"
        raise UserError(
            f"{path} is of a run with another recipe ({changed}): "
            "repeat that run's recipe and overrides to resume it, or choose another --out"
        )
    return content


def differences(old: Content, new: Content, prefix: str = "") -> list[str]:
    """``"optim.lr 0.5 -> 0.1"`` for every setting that differs between two recipes, except those of ``run``."""
    found = []
    for key in sorted({*old, *new} - ({"run"} if not prefix else set())):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key} {before} -> {after}")
    return found


def export_backbone(path: Path, model: TwistModel, recipe: Recipe, teacher: MomentumEncoder | None = None) -> None:
    """Writes what transfer and clustering need: the weights of the backbone and of the head.

    The keys are torchvision's for ResNets and timm's for ViTs. The momentum encoder's weights are stored beside the
    student's, as ``teacher_backbone`` and ``teacher_head``.
    """
    # The weights are meaningless without the size and the normalisation of the images.
    preprocessing = {
        "size": recipe.crops.global_size,
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "interpolation": "bilinear" if recipe.augmentation.kind == "digits" else "bicubic",
    }
    if recipe.model.backbone in VITS:
        preprocessing["position_resampling"] = recipe.model.position_resampling
    content = {
        "arch": recipe.model.backbone,
        "recipe": as_dict(recipe),
        "backbone": plain_state(model.backbone),
        "head": plain_state(model.head),
        "head_config": head_config(recipe.model, model.backbone.num_features),
        "preprocessing": preprocessing,
    }
    if teacher is not None:
        content["teacher_backbone"] = plain_state(teacher.backbone)
        content["teacher_head"] = plain_state(teacher.head)
    save(path, content)


def plain_state(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the tensors on the CPU, row-major, whatever their device and memory format."""
    state = {key: value.detach() for key, value in module.state_dict().items()}
    return {key: torch.empty(value.shape, dtype=value.dtype).copy_(value) for key, value in state.items()}
