"""The ``config.json`` that timm and Hugging Face publish beside a checkpoint: its architecture and preprocessing.

timm writes ``architecture`` and ``pretrained_cfg`` (github.com/huggingface/pytorch-image-models: timm/models/_hub.py,
save_config_for_hf); Hugging Face ``model_type`` with the network's sizes, and ``image_mean`` and ``image_std`` into
``preprocessor_config.json`` (github.com/huggingface/transformers: configuration_utils.py, image_processing_base.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.reading import Reading
from transfer.weights.backbone.architecture import get, names
from transfer.weights.backbone.hugging_face_config import OtherNetworkError, Shapes, arch_of
from transfer.weights.backbone.said_inside import preprocessing_in, refuse_bgr
from transfer.weights.backbone.timm_network import TimmSpec, is_timm
from transfer.weights.backbone.types import UNSCALED, Checkpoint, Network, Preprocessing, Source, preprocessing_of
from twist_common.errors import UserError

CONFIG = "config.json"
HF_PREPROCESSOR = "preprocessor_config.json"

# timm's names, without the tag after the dot, of the networks that are known here
ARCH_BY_TIMM_NAME = {
    **{name: name for name in ("resnet18", "resnet34", "resnet50", "resnet101")},
    **{f"tv_{name}": name for name in ("resnet34", "resnet50", "resnet101")},
    "vit_small_patch16_224": "deit_small",
    "deit_small_patch16_224": "deit_small",
    "vit_base_patch16_224": "vit_base",
    "deit_base_patch16_224": "vit_base",
}
HARMLESS_ARGUMENTS = {"num_classes", "global_pool", "drop_rate", "drop_path_rate"}  # no backbone's feature is another


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What stands beside a checkpoint.

    Attributes:
        path: the file that says it.
        arch: of the table of architectures; None where it names none.
        preprocessing: None where it gives no mean and deviation.
    """

    path: Path
    arch: str | None = None
    preprocessing: Preprocessing | None = None


def read_beside(checkpoint: Path, expected: str | None = None, shapes: Shapes | None = None) -> Beside | None:
    """The config beside the checkpoint; None where there is none, or where it is no description of a network.

    Args:
        checkpoint: a file, or the folder that holds it and the config.
        expected: what the user says that the checkpoint is; timm's config may name a network of timm only if the
            user does.
        shapes: of its tensors under our names, for what Hugging Face's config leaves out.

    Raises:
        UserError: it names an architecture that is not known here, or a preprocessing that none can be.
    """
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    path = folder / CONFIG
    config = _json(path)
    if isinstance(config.get("architecture"), str) or isinstance(config.get("pretrained_cfg"), Mapping):
        said = config.get("pretrained_cfg", config)
        return Beside(
            path=path, arch=_timm_arch(config, path, expected), preprocessing=_scaling(said, "mean", "std", path)
        )
    if isinstance(config.get("model_type"), str):
        arch = _hugging_face_arch(config, path, shapes or {})
        return Beside(path=path, arch=arch, preprocessing=_hugging_face_scaling(folder / HF_PREPROCESSOR))
    return None


def named_beside(beside: Beside | None, source: Source, where: str) -> str | None:
    """What the config says that the network is, in a layout that is read by it.

    Raises:
        UserError: the layout needs one, and there is none.
    """
    if source.config == "compared":
        return None
    if (beside is None or beside.arch is None) and source.config == "needed":
        raise UserError(
            f"{where} ({source.name}) does not show its heads, epsilons and activations: put the {CONFIG} that is "
            f"published with it beside it, or name a network of timm with --arch"
        )
    return beside.arch if beside else None


def chosen_preprocessing(
    checkpoint: Checkpoint, source: Source, reading: Reading, beside: Beside | None, where: str, asked: str = ""
) -> Preprocessing:
    """What the user says, else the checkpoint itself, else the config beside it, else the layout.

    Args:
        asked: what else is asked for, to be said in the same sentence.

    Raises:
        UserError: nothing of these says it, images were BGR, or the config beside the checkpoint contradicts the
            layout.
    """
    refuse_bgr(checkpoint, where)
    if reading.mean is not None and reading.std is not None:
        return Preprocessing("RGB", mean=reading.mean, std=reading.std)
    held = Network(entry=source.preprocessing_entry).state_of(checkpoint) if source.preprocessing_entry else None
    if held is not None:
        said = held if isinstance(held, Mapping) else {}
        return preprocessing_of(said.get("mean"), said.get("std"), where)
    if (said_inside := preprocessing_in(checkpoint, where)) is not None:
        return said_inside
    told = beside.preprocessing if beside is not None else None
    if told is not None and source.preprocessing not in (None, told) and not source.published_alone:
        raise UserError(
            f"{where} ({source.name}) was fed images of another mean and deviation than those that its folder's "
            f"config names: move the config away if it is about another checkpoint, or give --mean and --std"
        )
    if (preprocessing := told or source.preprocessing) is not None:
        return preprocessing
    published = CONFIG if source.config == "compared" else HF_PREPROCESSOR
    asked = asked and f"{asked}; and it "
    raise UserError(
        f"{where} ({source.name}) {asked}does not say by which mean and deviation its images were scaled: "
        f"{source.ask_preprocessing}; give --mean and --std, or put the {published} that is published with it beside it"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _scaling(config: Any, mean: str, std: str, path: Path) -> Preprocessing | None:
    if not isinstance(config, Mapping) or (mean not in config and std not in config):
        return None
    return preprocessing_of(config.get(mean), config.get(std), path)


def _hugging_face_scaling(path: Path) -> Preprocessing | None:
    """As image_processing_backends.py scales: by a factor, then by mean and deviation, unless a flag is false."""
    config = _json(path)
    if config.get("do_rescale", True) is not True or config.get("rescale_factor", 1 / 255) != 1 / 255:
        return None
    if config.get("do_normalize", True) is not True:
        return UNSCALED
    return _scaling(config, "image_mean", "image_std", path)


def _timm_arch(config: Mapping[str, Any], path: Path, expected: str | None) -> str | None:
    name = config.get("architecture")
    if not isinstance(name, str):
        return None
    arch = ARCH_BY_TIMM_NAME.get(name.split(".")[0])
    named = get(expected) if expected is not None else None
    if isinstance(named, TimmSpec) and named.name.split(".")[0] == name.split(".")[0]:
        arch = named.name
    arguments = config.get("model_args")
    changed = sorted(map(str, arguments.keys() - HARMLESS_ARGUMENTS)) if isinstance(arguments, Mapping) else []
    if arch is None or changed:
        what = f"timm's {name[:60]}" + (f" with {', '.join(changed)[:80]}" if changed else "")
        raise _unknown(path, what, None if changed or not is_timm(name) else f"give --arch {name}")
    return arch


def _hugging_face_arch(config: Mapping[str, Any], path: Path, shapes: Shapes) -> str | None:
    try:
        return arch_of(config, shapes)
    except OtherNetworkError as error:
        raise UserError(
            f"{path} says that the checkpoint beside it is {error}, which is no network that is known here: "
            f"give another checkpoint, or move the file away if it is about another one"
        ) from None


def _unknown(path: Path, what: str, step: str | None = None) -> UserError:
    return UserError(
        f"{path} says that the checkpoint beside it is {what}, which is none of {', '.join(names())}: "
        f"{step or 'give a checkpoint of one of these'}, or move the file away if it is about another checkpoint"
    )
