"""Pre-training: the official command of each recipe, with the defaults of ``train.py`` where it says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tools.deviations.rows import NOT_STATED, Setting, Side, fields_of
from twist_configs.pretrain import RECIPES

# What changes no weights, what only the demo has, and what the official code has no argument for.
OURS_ALONE = (
    "run.", "name", "seed", "data.dataset", "data.accumulation", "data.cache", "data.unreadable", "augmentation.kind",
    "augmentation.jitter_on", "augmentation.rotation_degrees", "augmentation.intensity",
)  # fmt: skip
WARM_UP = "none is the official rule: 10 epochs, 5 for up to 50 epochs in all, 3 for up to 20"
LARS = ("optim.momentum", "optim.eta")  # of LARS alone
POSITIONS = ("model.position_resampling",)  # of ViTs alone
NO_LINE = (*OURS_ALONE, *LARS, *POSITIONS)
CONSTANT = "none keeps it constant, which is the same"


def ours(recipe: str) -> Mapping[str, Any]:
    """Every field of the recipe by its name, dots between levels."""
    return dict(fields_of(RECIPES[recipe]()))


# Settings that all recipes have from the official code or its defaults.
COMMON: Mapping[str, tuple[Any, str]] = {
    "model.hidden": (4096, "train"),
    "model.num_classes": (4096, "train"),
    "model.drop_path": (0.0, "train"),
    "model.nbs": (True, "train"),
    "model.activation": ("relu", "train"),
    "model.bunch_size": (256, "train"),
    "model.position_resampling": ("official", "vit"),
    "crops.global_size": (224, "augmentation"),
    "crops.global_scale": ([0.4, 1.0], "train"),
    "crops.num_local": (12, "train"),
    "crops.local_size": (96, "augmentation"),
    "crops.local_scale": ([0.05, 0.4], "train"),
    "augmentation.flip": (0.5, "augmentation"),
    "augmentation.jitter": (0.8, "augmentation"),
    "augmentation.brightness": (0.4, "augmentation"),
    "augmentation.contrast": (0.4, "augmentation"),
    "augmentation.saturation": (0.2, "augmentation"),
    "augmentation.hue": (0.1, "augmentation"),
    "augmentation.gray": (0.2, "augmentation"),
    "augmentation.blur": ([1.0, 0.1, 0.5], "augmentation"),
    "augmentation.blur_sigma": ([0.1, 2.0], "augmentation"),
    "augmentation.solarize": ([0.0, 0.2, 0.0], "augmentation"),
    "loss.alpha": (1.0, "engine"),  # 1 + lam1
    "loss.beta": (1.0, "train"),
    "loss.eps": (1e-5, "train"),
    "momentum_encoder.enabled": (False, "train"),
    "momentum_encoder.start": (0.996, "train"),
    "momentum_encoder.end": (1.0, "train"),
    "self_labeling.epochs": (50, "train"),
    "self_labeling.global_scale": ([0.14, 1.0], "train"),
    "self_labeling.local_scale": ([0.05, 0.14], "train"),
    "self_labeling.keep": ([0.5, 0.6], "train"),
    "self_labeling.lr": (0.05, "train"),
    "self_labeling.warmup_epochs": (5, "train"),
    "optim.name": ("lars", "train"),
    "optim.lr": (0.5, "train"),
    "optim.weight_decay": (1.5e-6, "train"),
    "optim.weight_decay_end": (1.5e-6, "train"),
    "optim.momentum": (0.9, "train"),
    "optim.eta": (0.001, "lars"),
    "optim.clip_norm": (0.0, "train"),
    "schedule.warmup_epochs": (10, "train"),
    "schedule.final_lr_ratio": (0.001, "utils"),
    "precision": ("fp16", "train"),
}
REASONS = {
    "precision": "auto is bf16 on GPUs, which needs no scaled loss, and fp32 on CPUs; fp16 follows the official code",
    "schedule.warmup_epochs": WARM_UP,
    "optim.weight_decay_end": CONSTANT,
    "optim.clip_norm": "none is no clipping, which is written as 0 there",
    "data.batch_size": "no command is printed for this row: as rn50's, 16 GPUs with train.py's 128 images",
}
VIT = {
    "epochs": 300, "data.batch_size": 1024, "loss.alpha": 0.4, "momentum_encoder.enabled": True,
    "self_labeling.epochs": 0, "optim.name": "adamw", "optim.weight_decay": 0.06, "optim.clip_norm": 3.0,
    "model.activation": "gelu",
}  # fmt: skip
# What the commands in the README say: 850 epochs with 800 of the first stage are train.py's defaults.
COMMANDS: Mapping[str, Mapping[str, Any]] = {
    "rn50": {"epochs": 800, "data.batch_size": 2048, "model.backbone": "resnet50"},
    "rn50_nomc": {
        "epochs": 800, "data.batch_size": 2048, "model.backbone": "resnet50", "model.num_classes": 32768,
        "self_labeling.epochs": 0, "crops.num_local": 0, "crops.global_scale": [0.08, 1.0],
    },
    "rn50_cluster": {  # in the README's table alone, with 800 epochs
        "epochs": 800, "data.batch_size": NOT_STATED, "model.backbone": "resnet50", "model.num_classes": 1000,
        "self_labeling.epochs": 0,
    },
    "rn50w2": {"epochs": 200, "data.batch_size": 1920, "model.backbone": "resnet50w2", "model.bunch_size": 240},
    "deit_s": {
        **VIT, "model.backbone": "deit_small", "crops.num_local": 6, "optim.lr": 3e-4, "optim.weight_decay_end": 0.12,
    },
    "vit_b": {
        **VIT, "model.backbone": "vit_base", "crops.num_local": 10, "optim.lr": 7.5e-4, "optim.weight_decay_end": 0.06,
        "model.drop_path": 0.1,
    },
}  # fmt: skip


def _settings(recipe: str) -> Iterator[Setting]:
    command = COMMANDS[recipe]
    is_vit = "momentum_encoder.enabled" in command
    common = {name: each for name, each in COMMON.items() if name not in (LARS if is_vit else POSITIONS)}
    values = {**common, **{name: (value, "commands") for name, value in command.items()}}
    for name, (official, source) in values.items():
        why = REASONS.get(name, "")
        differs = {
            "optim.clip_norm": not is_vit,
            "optim.weight_decay_end": recipe != "deit_s",
            "data.batch_size": recipe == "rn50_cluster",
        }
        yield Setting(name, official, source, why if differs.get(name, True) else "")


SIDES = tuple(
    Side(name=name, ours=partial(ours, name), settings=tuple(_settings(name)), no_protocol=NO_LINE) for name in COMMANDS
)
