"""A protocol's native MMEngine config, the user's overrides, and how the two differ."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.protocol_lock import BatchSchedule, Verdict, judge, rescaled
from transfer.tasks.segmentation.own import fit_to
from transfer.trial import TrialSettings
from twist_common import overrides as override_syntax
from twist_common.errors import UserError, unknown_name

if TYPE_CHECKING:
    from mmengine.config import Config

# What the Runner reads, and the number of images that a protocol demands. The other names in a config file are the
# file's own variables; overriding one would do nothing, so they are not part of the resolved config.
SECTIONS = (
    "model",
    "by_kind",
    "own",
    "num_images",
    "train_dataloader",
    "train_cfg",
    "optim_wrapper",
    "param_scheduler",
    "test_dataloader",
    "test_cfg",
    "test_evaluator",
    "default_hooks",
    "default_scope",
    "env_cfg",
    "log_processor",
    "log_level",
)

# The settings that go with the batch: all that transfer.protocol_lock.BatchSchedule holds.
SCHEDULE_KEYS = (
    "train_dataloader.batch_size",
    "optim_wrapper.optimizer.lr",
    "train_cfg.max_iters",
    "param_scheduler.0.end",
    "param_scheduler.0.begin",
    "param_scheduler.1.end",
)


def load_protocol(path: Path) -> Config:
    """Reads a config file with its bases; only the sections that take effect are kept.

    Args:
        path: a native MMEngine config.
    """
    from mmengine.config import Config

    loaded = Config.fromfile(path)
    return Config({name: loaded[name] for name in SECTIONS if name in loaded})


def protocol_of(trial: TrialSettings) -> Config:
    """The protocol of a trial's benchmark; on own data with what follows from them."""
    protocol, data = load_protocol(trial.benchmark.config_path), trial.benchmark.dataset
    if data.content:
        _set_schedule(protocol, fit_to(protocol, data, trial.data, schedule(protocol)))
    return protocol


def resolve_config(
    protocol: Config, overrides: Sequence[str] = (), rescale: int | None = None
) -> tuple[Config, list[str]]:
    """The protocol's config, rescaled if asked for, with the overrides set, and its differences from the protocol.

    The learning rate's decay spans the run: where ``train_cfg.max_iters`` is overridden and the scheduler's end is
    not, the end follows, and shows up among the differences.

    Args:
        protocol: as :func:`protocol_of` or :func:`load_protocol` returns it; is left as it is.
        overrides: ``key.path=value`` in MMEngine's names; list items are reached by number.
        rescale: images per step in place of the protocol's (:func:`transfer.protocol_lock.rescaled`).

    Raises:
        UserError: an unknown name, a value of the wrong type, or a run that ends before its warm-up does.
    """
    config = copy.deepcopy(protocol)
    if rescale is not None:
        _set_schedule(config, rescaled(schedule(protocol), rescale))
    for override in overrides:
        key, text = override_syntax.split(override)
        _set(config, key, text)
    _fit_schedulers(config, protocol)
    refuse_v1c_stem(config)
    return config, differences(protocol, config)


def refuse_v1c_stem(config: Config) -> None:
    """Raises UserError if the first layers of a ResNet are not the pre-trained model's 7x7 convolution."""
    backbone = config.model.backbone
    if backbone.type == "AnyBackbone":
        return
    if backbone.type != "ResNet" or backbone.get("deep_stem"):
        raise UserError(
            f"model.backbone is {backbone.type}{' with deep_stem' if backbone.get('deep_stem') else ''}: pre-trained "
            "weights have one 7x7 convolution as their stem, so keep model.backbone.type=ResNet without deep_stem"
        )


def differences(protocol: Config, used: Config) -> list[str]:
    """``"key: protocol value -> used value"`` for each value that differs, in the order of the config."""
    before, after = dict(_leaves(_plain(protocol))), dict(_leaves(_plain(used)))
    changed = [key for key in {**before, **after} if before.get(key, "absent") != after.get(key, "absent")]
    return [f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}" for key in changed]


def schedule(config: Config) -> BatchSchedule:
    """The settings that go with the batch, as the config has them.

    The first scheduler is the decay, whose begin and end take the place of milestones; a second one is the warm-up.
    """
    decay, *warmup = config.param_scheduler
    return BatchSchedule(
        batch_size=config.train_dataloader.batch_size,
        learning_rate=config.optim_wrapper.optimizer.lr,
        iterations=config.train_cfg.max_iters,
        milestones=(decay.begin, decay.end),
        warmup_iterations=warmup[0].end if warmup else 0,
    )


def _set_schedule(config: Config, new: BatchSchedule) -> None:
    config.train_dataloader.batch_size = new.batch_size
    config.optim_wrapper.optimizer.lr = new.learning_rate
    config.train_cfg.max_iters = new.iterations
    decay, *warmup = config.param_scheduler
    decay.begin, decay.end = new.milestones
    if warmup:
        warmup[0].end = new.warmup_iterations


def judged(config: Config, protocol: Config, difference: Sequence[str]) -> Verdict:
    """How a trial with this config relates to its protocol: on protocol, rescaled, or off protocol.

    Args:
        difference: of the trial from the protocol, see :func:`resolve_config`.
    """
    return judge(schedule(protocol), schedule(config), difference, SCHEDULE_KEYS)


def dump(config: Config) -> str:
    """The config as JSON text; the same protocol gives the same text on every machine."""
    return json.dumps(_plain(config), indent=1, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        items: Iterator[tuple[Any, Any]] = iter(value.items())
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        items = iter(enumerate(value))
    else:
        yield prefix, value
        return
    for key, item in items:
        yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))


def _set(config: Config, key: str, text: str) -> None:
    *path, last = key.split(".")
    if path[:1] == ["own"]:
        raise UserError(f"override {key!r}: this follows from the data, name others")
    group: Any = config
    for name in path:
        group = _item(group, name, key)
    current = _item(group, last, key)
    if hasattr(current, "items"):
        inner = ", ".join(f"{key}.{name}" for name in current)
        raise UserError(f"override {key!r} names a group of settings: set one of {inner}")
    value = _parse(text, current, key)
    override_syntax.check_numbers(key, current, value)
    group[int(last) if isinstance(group, (list, tuple)) else last] = value


def _item(group: Any, name: str, key: str) -> Any:
    if isinstance(group, (list, tuple)):
        if not name.isdigit() or int(name) >= len(group):
            raise UserError(f"override {key!r}: {name!r} is not one of the numbers 0 to {len(group) - 1}")
        return group[int(name)]
    if not hasattr(group, "keys"):
        raise UserError(f"override {key!r}: what comes before {name!r} has no settings of its own")
    if name not in group:
        raise unknown_name(f"setting of MMSegmentation in {key!r}", name, group.keys())
    return group[name]


def _parse(text: str, current: Any, key: str) -> Any:
    """``text`` as a value of the same type as ``current``; anything where that is None."""
    try:
        value = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        value = text
    if current is None or (value is None and not isinstance(current, (bool, int, float, str))):
        return value
    if isinstance(current, str):
        return text
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(current, (list, tuple)) and isinstance(value, (list, tuple)):
        value = type(current)(value)
    if type(value) is not type(current):
        raise UserError(f"override {key}={text}: expected a value of type {type(current).__name__}, like {current}")
    return value


def _fit_schedulers(config: Config, protocol: Config) -> None:
    """Lets a schedule that ends with the protocol's run end with this one, unless it was set itself.

    Raises:
        UserError: one ends before it begins.
    """
    for number, (ours, theirs) in enumerate(zip(config.param_scheduler, protocol.param_scheduler, strict=True)):
        if ours.end == theirs.end == protocol.train_cfg.max_iters:
            ours.end = config.train_cfg.max_iters
        if ours.begin >= ours.end:
            raise UserError(
                f"param_scheduler.{number} begins at iteration {ours.begin} and ends at {ours.end}: a shorter run "
                "needs a shorter warm-up, set param_scheduler.0.begin and param_scheduler.1.end too"
            )
