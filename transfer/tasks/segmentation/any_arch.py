"""What a protocol for any architecture leaves to the weights: filled in from the proof of their conversion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.tasks.segmentation.config import differences, load_protocol
from transfer.trial import Trial
from transfer.weights.backbone import architecture
from transfer.weights.backbone.timm_network import NUM_MAPS, TimmSpec
from transfer.weights.convert.convert import Converted, converted_weights
from twist_common.errors import UserError

ANY = "AnyBackbone"
FINEST_STRIDE = 4  # of a pyramid, down to eight times that


def takes_any(config: Any) -> bool:
    """Whether a config is a protocol for any architecture."""
    return bool(config.model.backbone.type == ANY)


def fitting_weights(config: Any, trial: Trial) -> Converted:
    """The trial's weights, converted for the backbone that the config has, which is then fitted to them in place.

    Raises:
        UserError: see :func:`fit` and :func:`transfer.weights.convert.convert.converted_weights`.
    """
    target = trial.benchmark.target or ("mmseg-any" if takes_any(config) else "mmseg")
    converted = converted_weights(trial, target)
    fit(config, converted.arch, converted.proof["settings"])
    return converted


def fit(config: Any, arch: str, settings: Mapping[str, Any]) -> None:
    """Fills in architecture, preprocessing, pyramid, and the sizes that whole patches need; in place.

    What was set by overrides stays, and is compared with the proof later. A config for one architecture is left alone.

    Args:
        settings: of the architecture's target, as :func:`transfer.weights.convert.mmseg_any.settings` gives them.

    Raises:
        UserError: the network takes only images of a size that is not the protocol's crop.
    """
    if not takes_any(config):
        return
    model, spec = config.model, architecture.get(arch)
    _fill(model.backbone, settings)
    _fill(model.data_preprocessor, settings)
    channels = list(spec.channels[-NUM_MAPS:])
    head = model.decode_head
    times = 2 if model.backbone.get("class_token") and architecture.has_class_token(arch) else 1
    head.in_channels = [times * channels[index] for index in head.in_index]
    if "upsample" in head and spec.is_pyramid:
        head.upsample = min(head.upsample, spec.strides[-NUM_MAPS:][head.in_index[0]] // FINEST_STRIDE)
    if by_kind := config.pop("by_kind", None):
        kind = by_kind["pyramid" if spec.is_pyramid else "plain"]
        model.backbone.drop_path = kind.drop_path
        config.optim_wrapper.paramwise_cfg.layer_decay = kind.layer_decay
        model.neck = kind.neck
        if spec.is_pyramid:
            model.neck.in_channels = channels
            model.decode_head.in_channels = [kind.neck.out_channels] * NUM_MAPS
        else:
            model.neck.embed_dim = channels[0]
            finest = 2 if spec.strides[0] < 3 * FINEST_STRIDE else 4  # the neck can do no other
            model.neck.rescales = [finest, finest / 2, finest / 4, finest / 8]
    if spec.patch_size is not None:
        _pad_to_patches(model, arch, spec.patch_size[0])
    crop = tuple(model.data_preprocessor.size)
    if isinstance(spec, TimmSpec) and not spec.any_size and crop != spec.image_size:
        raise UserError(
            f"timm's {spec.name} takes images of {'x'.join(map(str, spec.image_size))} px only, the protocol's are "
            f"{'x'.join(map(str, crop))}: use a network that takes any size"
        )


def undeclared_difference(record: TrialRecord, benchmark: Benchmark) -> list[str]:
    """See :meth:`transfer.task.Task.undeclared_difference`."""
    from mmengine.config import Config

    protocol = load_protocol(benchmark.config_path)
    if record.weights.proof:
        fit(protocol, record.weights.arch, record.weights.proof.get("settings", {}))
    return differences(protocol, Config(json.loads(record.resolved_config)))


def _fill(settings: Any, values: Mapping[str, Any]) -> None:
    for name in [name for name, value in settings.items() if value is None and name in values]:
        settings[name] = values[name]


def _pad_to_patches(model: Any, arch: str, patch: int) -> None:
    """Lets MMSegmentation pad images and masks to whole patches, so that the maps cover what the masks do.

    A backbone that padded by itself would have its maps squeezed into the image afterwards.
    """
    model.data_preprocessor.size = architecture.whole_patches(model.data_preprocessor.size, arch)
    model.data_preprocessor.test_cfg = {"size_divisor": patch}
    if "crop_size" in model.test_cfg:
        model.test_cfg.crop_size = architecture.whole_patches(model.test_cfg.crop_size, arch)
