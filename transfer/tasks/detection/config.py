"""From a protocol (a native Detectron2 YAML file) and overrides to the config of a trial."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg

from transfer.protocol_lock import BatchSchedule, Verdict, judge, rescaled
from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.tasks.detection.model import add_network_config, takes_any
from transfer.tasks.detection.optimizer import NOT_READ, add_optimizer_config, check_optimizer
from transfer.tasks.detection.own import own_settings
from transfer.tasks.detection.work import SYNCHRONISED_NORMS
from transfer.trial import Trial
from twist_common import overrides as override_syntax
from twist_common.errors import UserError, unknown_name

# Set by the trial; each is a field of its own in the record.
SET_BY_TRIAL = ("MODEL.WEIGHTS", "MODEL.DEVICE", "OUTPUT_DIR", "SEED")

# The weights bring these where a protocol takes any network.
SET_BY_WEIGHTS = ("MODEL.NETWORK.ARCH", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD", "INPUT.FORMAT")

# Known to Detectron2 but not done by this trainer: refused, rather than ignored.
NOT_SUPPORTED = (
    "DATALOADER.REPEAT_THRESHOLD",
    "DATALOADER.SAMPLER_TRAIN",
    "DATALOADER.RANDOM_SUBSET_RATIO",
    "MODEL.KEYPOINT_ON",
    "MODEL.LOAD_PROPOSALS",
    "SOLVER.REFERENCE_WORLD_SIZE",
    "TEST.AUG.ENABLED",
    "TEST.EVAL_PERIOD",
    "TEST.EXPECTED_RESULTS",
    "VIS_PERIOD",
)

# How a trial runs, not what it computes: the data order and the images' augmentation do not depend on the
# number of workers, and a resumed trial is the same as an uninterrupted one (see transfer.tasks.detection.data).
NOT_PROTOCOL = ("DATALOADER.NUM_WORKERS", "EVAL.ORACLE", "SOLVER.CHECKPOINT_PERIOD")

# Another choice of what is frozen is another benchmark, with figures that are not compared with these.
FREEZE_AT = "MODEL.BACKBONE.FREEZE_AT"

# The settings that go with the batch, in the order of transfer.protocol_lock.BatchSchedule.
SCHEDULE_KEYS = (
    "SOLVER.IMS_PER_BATCH",
    "SOLVER.BASE_LR",
    "SOLVER.MAX_ITER",
    "SOLVER.STEPS",
    "SOLVER.WARMUP_ITERS",
)


def resolve_config(trial: Trial) -> CfgNode:
    """The trial's config: its protocol, rescaled if asked for, its overrides, and what its device needs.

    Raises:
        UserError: an override has an unknown name (with the nearest one), a value of the wrong type, or is of no use
            with this backbone and this optimiser.
    """
    cfg = protocol_of(trial)
    if trial.rescale is not None:
        set_schedule(cfg, rescaled(schedule(cfg), trial.rescale))
    apply_overrides(cfg, trial.overrides)
    check_optimizer(cfg)
    _check_all_are_read(cfg, trial.overrides)
    _fit_device(cfg, trial.device)
    if cfg.SOLVER.AMP.ENABLED and trial.device != "cuda":
        raise UserError("SOLVER.AMP.ENABLED=True needs a GPU: leave it out, or run with --device cuda")
    cfg.freeze()
    return cfg


def protocol_config(path: Path, *, device: str) -> CfgNode:
    """The protocol as it runs on this kind of device, without overrides."""
    cfg = get_cfg()
    add_network_config(cfg)
    add_optimizer_config(cfg)
    cfg.EVAL = CfgNode({"ORACLE": False})  # True: COCO's figures by pycocotools (transfer.tasks.detection.coco_metrics)
    cfg.merge_from_file(str(path))
    _fit_device(cfg, device)
    return cfg


def protocol_of(trial: Trial) -> CfgNode:
    """The protocol of a trial's benchmark; on own data with what follows from them."""
    cfg, data = protocol_config(trial.benchmark.config_path, device=trial.device), trial.benchmark.dataset
    if data.content:
        settings = own_settings(data, trial.data, schedule(cfg), is_frozen=bool(cfg.MODEL.BACKBONE.FREEZE_AT))
        cfg.OWN = CfgNode({key.removeprefix("OWN."): None for key in settings if key.startswith("OWN.")})
        cfg.merge_from_list([part for pair in settings.items() for part in pair])
    return cfg


def _fit_device(cfg: CfgNode, device: str) -> None:
    """Sets the device. On CPU SyncBN becomes BN, because torch's SyncBatchNorm has no CPU kernel.

    A trial on CPU is one process, which sees the whole batch: there both are the same function, so this is not a
    difference from the protocol.
    """
    cfg.MODEL.DEVICE = device
    if device == "cpu":
        for group in (cfg.MODEL.RESNETS, cfg.MODEL.FPN, cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_MASK_HEAD):
            if group.NORM in SYNCHRONISED_NORMS:
                group.NORM = "BN"


def apply_overrides(cfg: CfgNode, overrides: Sequence[str]) -> None:
    """Sets each ``"KEY=value"`` in place; values are Python literals or plain text, as in Detectron2.

    Raises:
        UserError: an unknown key, a group of settings, a wrong type, or a setting that is not the user's.
    """
    known = dict(leaves(cfg))
    for override in overrides:
        key, text = override_syntax.split(override)
        _check_key(key, known)
        current = known[key]
        try:
            # yacs takes no integer for a float: SOLVER.BASE_LR=1 means 1.0
            cfg.merge_from_list([key, repr(float(text)) if isinstance(current, float) else text])
        except ValueError:
            kind = type(current).__name__
            raise UserError(f"override {key}={text}: expected a value of type {kind}, like {current!r}") from None
        override_syntax.check_numbers(key, current, dict(leaves(cfg))[key])


def _check_key(key: str, known: dict[str, Any]) -> None:
    if key in SET_BY_TRIAL:
        raise UserError(f"override of {key}: the trial sets it (--device, --out and the weights decide)")
    if key.startswith("OWN."):
        raise UserError(f"override of {key}: the data decide it, leave it out")
    if key in NOT_SUPPORTED:
        raise UserError(f"override of {key}: trials do not use this setting of Detectron2, leave it out")
    if key == FREEZE_AT:
        raise UserError(
            f"override of {key}: what is frozen makes another benchmark; leave it out to train everything, or give "
            "--frozen to train nothing of the backbone"
        )
    if key in known:
        return
    group = [name for name in known if name.startswith(key + ".")]
    if group:
        raise UserError(f"override {key!r} names a group of settings: set one of {', '.join(group)}")
    # Detectron2 has 250 settings: name those beside the nearest, not all
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
    siblings = [name for name in known if name.rpartition(".")[0] == nearest.rpartition(".")[0]]
    raise unknown_name("setting of Detectron2", key, siblings)


def _check_all_are_read(cfg: CfgNode, overrides: Sequence[str]) -> None:
    """A setting of the other backbone or the other optimiser would make a row "off protocol" and do nothing."""
    other_backbone = ("MODEL.RESNETS.",) if takes_any(cfg) else ("MODEL.NETWORK.",)
    for override in overrides:
        key, _ = override_syntax.split(override)
        if takes_any(cfg) and key in SET_BY_WEIGHTS:
            raise UserError(f"override of {key}: the weights decide it in this protocol, leave it out")
        if key.startswith(other_backbone) or key in NOT_READ[cfg.SOLVER.OPTIMIZER]:
            reader = cfg.MODEL.BACKBONE.NAME if key.startswith("MODEL.") else cfg.SOLVER.OPTIMIZER
            raise UserError(f"override of {key}: {reader} does not use this setting, leave it out")


def with_weights(cfg: CfgNode, settings: Mapping[str, Any]) -> CfgNode:
    """The config of a trial that takes any network, with that of the weights and the images that they expect.

    Args:
        settings: of :func:`transfer.weights.convert.detectron2_any.settings`.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.NETWORK.ARCH = settings["arch"]
    cfg.INPUT.FORMAT = settings["input_format"]
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = list(settings["pixel_mean"]), list(settings["pixel_std"])
    cfg.freeze()
    return cfg


def protocol_difference(cfg: CfgNode, protocol: CfgNode) -> list[str]:
    """``"KEY: protocol value -> value used"`` for every setting that can change a result and differs."""
    before = dict(leaves(protocol))
    return [
        f"{key}: {before[key]} -> {value}"
        for key, value in sorted(leaves(cfg))
        if value != before[key] and key not in (*SET_BY_TRIAL, *NOT_PROTOCOL)
    ]


def undeclared_difference(record: TrialRecord, benchmark: Benchmark) -> list[str]:
    """See :meth:`transfer.task.Task.undeclared_difference`."""
    used = yaml.safe_load(record.resolved_config)
    cfg = protocol_config(benchmark.config_path, device=used["MODEL"]["DEVICE"])
    if takes_any(cfg) and record.weights.proof:
        cfg = with_weights(cfg, record.weights.proof["settings"])
    before, after = (dict(leaves(CfgNode(each))) for each in (yaml.safe_load(resolved_text(cfg)), used))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted({**before, **after})
        if before.get(key) != after.get(key) and key not in NOT_PROTOCOL
    ]


def schedule(cfg: CfgNode) -> BatchSchedule:
    """The settings that go with the batch, as the config has them."""
    solver = cfg.SOLVER
    return BatchSchedule(
        batch_size=solver.IMS_PER_BATCH,
        learning_rate=solver.BASE_LR,
        iterations=solver.MAX_ITER,
        milestones=tuple(solver.STEPS),
        warmup_iterations=solver.WARMUP_ITERS,
    )


def set_schedule(cfg: CfgNode, new: BatchSchedule) -> None:
    """Writes the settings that go with the batch into the config, in place."""
    values = (new.batch_size, new.learning_rate, new.iterations, new.milestones, new.warmup_iterations)
    cfg.merge_from_list([part for pair in zip(SCHEDULE_KEYS, values, strict=True) for part in pair])


def judged(cfg: CfgNode, protocol: CfgNode) -> Verdict:
    """How a trial with this config relates to its protocol: on protocol, rescaled, or off protocol."""
    return judge(schedule(protocol), schedule(cfg), protocol_difference(cfg, protocol), SCHEDULE_KEYS)


def resolved_text(cfg: CfgNode) -> str:
    """The whole config as YAML, without this machine's folders, the weights and the seed."""
    text_cfg = cfg.clone()
    text_cfg.defrost()
    del text_cfg.MODEL["WEIGHTS"], text_cfg["OUTPUT_DIR"], text_cfg["SEED"]
    return text_cfg.dump()


def leaves(cfg: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as ``("SOLVER.BASE_LR", 0.02)``."""
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
