"""The proof: the target framework's own backbone computes the source's feature maps at every stage.

Rule: ``max |target - source| <= 1e-5 × RMS(source)``, stage by stage. The features of a pre-trained network have an RMS
of about 1, so there it is 1e-5; the scale keeps the rule as strict for networks whose features explode in eval
mode (fresh ones: residual branches add up while batch norm divides by 1) or vanish. Both networks run the same
operations in one process, so the difference to expect is 0; where attention is computed in another order, both run in
float64, and it is 1e-14. A stage that is zero everywhere shows nothing and fails.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.weights.backbone import architecture
from transfer.weights.backbone.architecture import PATCH_SIZE, ResNetSpec
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.convert.target import (
    RESNET_IMAGES,
    ConversionError,
    KeyTable,
    Settings,
    Shapes,
    Target,
    map_names,
)
from twist_common.errors import UserError
from twist_common.files import sha256_file

if TYPE_CHECKING:
    from torch import Tensor

    from transfer.weights.backbone import Backbone

SCHEMA_VERSION = 2
TOLERANCE = 1e-5  # times the RMS of the source's feature map
IMAGE_SEED = 0
# The proof's names of what belongs to the weights and not to the protocol, and the configs' own.
PREPROCESSING_KEYS = {
    "detectron2": {"pixel_mean": "MODEL.PIXEL_MEAN", "pixel_std": "MODEL.PIXEL_STD"},
    "mmseg": {"mean": "model.data_preprocessor.mean", "std": "model.data_preprocessor.std"},
}

Proof = dict[str, Any]


def prove(backbone: Backbone, target: Target, table: KeyTable, weights: Path, settings: Settings) -> Proof:
    """Loads the written weights in the target framework and compares every stage with the source.

    Args:
        weights: the file as written, at its temporary or its final place.
        settings: the target's model settings, as ``target.default_settings`` gives them.

    Returns:
        What ``<stem>.proof.json`` holds for this target, without the name of the weight file.

    Raises:
        ConversionError: the target did not take every tensor, feeds images in another way, or a stage differs.
    """
    fed = target.default_settings(backbone.arch, backbone.preprocessing)
    names = target.preprocessing_settings
    different = differences({name: fed[name] for name in names}, {name: settings.get(name) for name in names})
    if different:
        raise ConversionError(f"{target.name} would feed the backbone other images: {'; '.join(different)}")
    versions: dict[str, str] = {}
    for package in (*target.packages, "torch", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):  # alternatives such as mmcv and mmcv-lite
            versions[package] = metadata.version(package)
    return {
        "schema_version": SCHEMA_VERSION,
        "target": target.name,
        "arch": backbone.arch,
        "weights_sha256": sha256_file(weights),
        "source": {
            "file": Path(backbone.source).name,
            "sha256": backbone.sha256,
            "format": backbone.source_format,
            "which": backbone.which,
            "dropped": _by_reason(backbone.dropped),
            "filled_with_zero": list(backbone.filled),
        },
        "stages": _compare(backbone, target, weights, settings),
        "rule": f"max_abs_difference <= {TOLERANCE} * rms of the source's feature map",
        "precision": "float64" if target.double else "float32",
        "images": {"seed": IMAGE_SEED, "shapes": [list(shape) for shape in target.image_shapes]},
        "settings": settings,
        **_input_of(backbone.arch, target),
        "colour_order": backbone.preprocessing.colour_order,
        "mean": list(backbone.preprocessing.mean),
        "std": list(backbone.preprocessing.std),
        "keys_mapped": table.mapped,
        "keys_dropped": _by_reason(table.dropped),
        "packages": versions,
    }


def verify_proof(proof: Proof, target: str, arch: str, weights_sha: str, settings: Settings) -> None:
    """Checks that a proof holds for what a task is about to train.

    Args:
        target: name in :data:`transfer.weights.convert.convert.RESNET_TARGETS`.
        weights_sha: SHA-256 of the weight file.
        settings: of the config that the task really uses, by ``Target.settings_of``.

    Raises:
        UserError: the proof is of something else, or its stages are not within their tolerance.
    """
    expected = {"schema_version": SCHEMA_VERSION, "target": target, "arch": arch, "weights_sha256": weights_sha}
    for name, value in expected.items():
        if proof.get(name) != value:
            raise UserError(f"the proof is of {name} {proof.get(name)!r}, not {value!r}: convert the checkpoint again")
    different = differences(proof["settings"], settings)
    if different:
        keys = PREPROCESSING_KEYS.get(target, {})
        names = [line.partition(": ")[0] for line in different]
        remedy = "correct the config"
        if all(name in keys for name in names):  # weights that were trained with other colours can be run with them
            own = {keys[name]: json.dumps(proof["settings"][name]).replace(" ", "") for name in names}
            overrides = " ".join(f"{key}={value}" for key, value in own.items())
            remedy = f"give {overrides}, the weights' own; the rows are then shown as off protocol"
        raise UserError(
            f"the {target} config is not what the conversion was proved for ({'; '.join(different)}): {remedy}"
        )
    _check_stages(proof["stages"], map_names(arch, settings), target)


def differences(proved: Settings, used: Settings) -> list[str]:
    """``"name: proved -> used"`` for every setting that is not the same; numbers may differ by rounding."""
    names = sorted(proved.keys() | used.keys())
    return [
        f"{name}: {proved.get(name, 'unset')} -> {used.get(name, 'unset')}"
        for name in names
        if not _same(proved.get(name), used.get(name))
    ]


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=1e-6)
    return bool(left == right)


def _compare(backbone: Backbone, target: Target, weights: Path, settings: Settings) -> dict[str, dict[str, float]]:
    """Largest difference, tolerance and RMS of each stage's feature maps, over all images."""
    import torch

    from transfer.weights.backbone.network import loaded_network

    source: Any = loaded_network(backbone).eval()
    with torch.random.fork_rng(devices=[]):  # it draws an initialisation first
        converted = target.load(weights, settings)
    names = map_names(backbone.arch, settings)

    def maps_of(source: Any, images: Tensor) -> dict[str, Tensor]:
        if names == architecture.get(backbone.arch).stages:
            return dict(source.forward_stages(images))
        return dict(zip(names, source.forward_last(images), strict=True))

    dtype = torch.float64 if target.double else torch.float32
    source.to(dtype), converted.to(dtype)
    pairs: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for images in proof_images(target.image_shapes):
        images = images.to(dtype)
        if target.resample_position is not None:  # the source gets the position embedding of the target's rule
            grid = (images.shape[-2] // PATCH_SIZE, images.shape[-1] // PATCH_SIZE)
            source.patch_embed.grid_size = grid  # so that timm does not resample it once more
            source.pos_embed.data = target.resample_position(backbone.state_dict["pos_embed"].to(dtype), grid)
        with torch.inference_mode():
            pairs.append((maps_of(source, images), target.stages(converted, images)))
    compared = {
        name: _difference(name, [(ours[name], theirs[name]) for ours, theirs in pairs], target.name) for name in names
    }
    _check_stages(compared, names, target.name)
    return compared


def proof_images(shapes: Shapes = RESNET_IMAGES) -> list[Tensor]:
    """The fixed images: standard normal, roughly as normalised photographs are; the same everywhere."""
    import torch

    generator = torch.Generator().manual_seed(IMAGE_SEED)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _difference(stage: str, pairs: list[tuple[Tensor, Tensor]], where: str) -> dict[str, float]:
    import torch

    for source, converted in pairs:
        if source.shape != converted.shape:
            shapes = f"{list(converted.shape)}, the source's {list(source.shape)}"
            raise ConversionError(f"{where}: the feature map of {stage} is {shapes}")
    source_values, values = (torch.cat([maps.flatten() for maps in side]).double() for side in zip(*pairs, strict=True))
    rms = float(source_values.square().mean().sqrt())
    return {
        "max_abs_difference": float((values - source_values).abs().max()),
        "tolerance": TOLERANCE * rms,
        "rms": rms,
    }


def _check_stages(stages: Mapping[str, Mapping[str, float]], names: Sequence[str], where: str) -> None:
    for stage in names:
        if stage not in stages:
            raise ConversionError(f"{where}: the proof says nothing of {stage}: convert the checkpoint again")
        difference, tolerance = stages[stage]["max_abs_difference"], stages[stage]["tolerance"]
        if not (math.isfinite(tolerance) and tolerance > 0):
            raise ConversionError(f"{where}: the source's features at {stage} are all zero or not finite: no proof")
        if not difference <= tolerance:  # so that NaN fails
            raise ConversionError(
                f"{where}: the features of {stage} differ from the source's by {difference:.3g} "
                f"(tolerance {tolerance:.3g}), so the weights are not used: check the model settings"
            )


def _input_of(arch: str, target: Target) -> dict[str, str]:
    """What the first layers are, in words."""
    spec = architecture.get(arch)
    if isinstance(spec, ResNetSpec):
        first = "3x3 convolution" if spec.block == "bottleneck" else "first 3x3 convolution"
        return {"stem": "plain 7x7 convolution, stride 2, then 3x3 max pooling", "stride_placement": first}
    if isinstance(spec, TimmSpec):
        return {"stem": f"that of timm's {spec.name}"}
    rule = "timm's, bicubic with antialiasing" if target.resample_position is None else f"{target.name}'s own"
    return {"stem": f"{PATCH_SIZE}x{PATCH_SIZE} patches", "position_embedding_at_other_sizes": rule}


def _by_reason(dropped: Mapping[str, str]) -> dict[str, list[str]]:
    return {reason: [key for key in dropped if dropped[key] == reason] for reason in dict.fromkeys(dropped.values())}
