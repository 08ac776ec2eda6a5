"""What a detection trial computes, read from its protocol without importing Detectron2."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from common import overrides as override_syntax
from transfer.protocol_lock import BatchSchedule, rescaled
from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.tasks.costs import COSTS
from transfer.tasks.detection.splits import known_splits
from transfer.trial import TrialSettings
from transfer.weights.backbone.architecture import RESNETS, VITS
from transfer.work import TRAINING, Phase, Work, variant

# Settings that change what an image costs.
PER_IMAGE = ("MODEL.", "INPUT.", "SOLVER.AMP.", "TEST.DETECTIONS_PER_IMAGE")
PRECISE_BN_BATCHES = 200  # TEST.PRECISE_BN.NUM_ITER, by Detectron2's default


def planned_work(trial: TrialSettings) -> Work:
    """See :meth:`transfer.task.Task.planned_work`.

    Raises:
        UserError: an override without ``=``, or an empty batch.
    """
    from fvcore.common.config import CfgNode

    settings = CfgNode.load_yaml_with_base(str(trial.benchmark.config_path))
    solver = settings["SOLVER"]
    if trial.rescale is not None:
        protocol = BatchSchedule(
            batch_size=solver["IMS_PER_BATCH"], learning_rate=solver["BASE_LR"], iterations=solver["MAX_ITER"]
        )
        solver.update(IMS_PER_BATCH=trial.rescale, MAX_ITER=rescaled(protocol, trial.rescale).iterations)
    for override in trial.overrides:
        key, text = override_syntax.split(override)
        *groups, name = key.split(".")
        group = settings
        for each in groups:
            group = group.setdefault(each, {})
        try:
            group[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            group[name] = text
    return _work(settings, trial.benchmark, trial.overrides)


def recorded_work(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :meth:`transfer.task.Task.recorded_work`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    settings = yaml.load(record.resolved_config, Loader=loader)
    return _work(settings, benchmark, record.protocol_difference)


def _work(settings: Mapping[str, Any], benchmark: Benchmark, changes: Sequence[str]) -> Work:
    changed = variant(changes, PER_IMAGE)
    counted = None if changed else COSTS.get(benchmark.name)
    train_cost, test_cost = (counted.train, counted.test) if counted else (None, None)
    solver, model = settings["SOLVER"], settings["MODEL"]
    iterations, batch_size = int(solver["MAX_ITER"]), int(solver["IMS_PER_BATCH"])
    phases = [Phase(what=TRAINING, num_images=iterations * batch_size, steps=iterations, trains=True, cost=train_cost)]
    precise_bn = settings.get("TEST", {}).get("PRECISE_BN", {})
    if precise_bn.get("ENABLED"):
        num_images = precise_bn.get("NUM_ITER", PRECISE_BN_BATCHES) * batch_size
        what = "precise batch norm"
        phases.append(Phase(what=what, num_images=num_images, trains=False, cost=test_cost, reported=False))
    test_split = known_splits().get(settings["DATASETS"]["TEST"][0])
    num_test = test_split.num_images if test_split else None
    if num_test is not None:
        phases.append(Phase(what="testing", num_images=num_test, trains=False, cost=test_cost))
    disk = {}
    if counted and 0 < solver.get("CHECKPOINT_PERIOD", 5000) < iterations:
        disk["checkpoints"] = counted.checkpoint_bytes(adam=solver.get("OPTIMIZER", "SGD") != "SGD")
    return Work(
        arch=model["VIT"]["ARCH"] if "vit" in model["BACKBONE"]["NAME"] else f"resnet{model['RESNETS']['DEPTH']}",
        phases=tuple(phases),
        variant=changed,
        uncounted=() if num_test is not None else ("the test: its number of images is not known",),
        disk=disk,
    )


def settings_for(arch: str, protocol_arch: str | None) -> list[str]:
    """The overrides that give a protocol's detector a backbone of another architecture."""
    if arch in VITS:
        return ["MODEL.BACKBONE.NAME=build_vit_simple_pyramid_backbone", f"MODEL.VIT.ARCH={arch}"]
    spec = RESNETS[arch]
    depth = [f"MODEL.RESNETS.DEPTH={spec.depth}", f"MODEL.RESNETS.RES2_OUT_CHANNELS={64 * spec.expansion}"]
    from_vit = ["MODEL.BACKBONE.NAME=build_resnet_fpn_backbone", "SOLVER.LAYER_DECAY=1.0"]
    return [*from_vit, *depth] if protocol_arch in VITS else depth
