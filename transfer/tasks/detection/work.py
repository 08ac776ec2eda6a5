"""What a detection trial computes, read from its protocol without importing Detectron2."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from transfer.protocol_lock import BatchSchedule, rescaled
from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.tasks.costs import COSTS, without_network
from transfer.tasks.detection.own import own_settings, set_nested
from transfer.tasks.detection.splits import known_splits, own_splits
from transfer.trial import TrialSettings
from transfer.weights.backbone import architecture
from transfer.weights.backbone.architecture import RESNETS
from transfer.work import TRAINING, Flop, ModelCost, NetworkMemory, NetworkPass, Phase, StepMemory, Work, variant
from twist_common import overrides as override_syntax

Cost = Flop | NetworkPass | None

# Settings that change what an image costs.
PER_IMAGE = ("MODEL.", "INPUT.", "SOLVER.AMP.", "TEST.DETECTIONS_PER_IMAGE")
ANY_BACKBONE = "build_any_backbone"  # MODEL.BACKBONE.NAME where a protocol takes any network
STRIDE = 32  # of which sides are padded to multiples
PRECISE_BN_BATCHES = 200  # TEST.PRECISE_BN.NUM_ITER, by Detectron2's default
ALL_STAGES = 5  # the FREEZE_AT that freezes all of a network
SYNCHRONISED_NORMS = ("SyncBN", "naiveSyncBN")
BATCH_NORMS = ("BN", *SYNCHRONISED_NORMS)

# An image of 800 x 1333 pixels in single precision, R50: counted from the activations that the backward pass keeps and
# rounded up, not measured. Too high a figure costs time on small GPUs, too low a figure a failed trial.
GIB = 2**30
IMAGE_BYTES = {"FPN": 4 * GIB, "C4": 6 * GIB, "frozen": 2 * GIB}
LARGEST_IMAGE = (800, 1344)  # in whole strides


def planned_work(trial: TrialSettings, arch: str | None) -> Work:
    """See :meth:`transfer.task.Task.planned_work`.

    Raises:
        UserError: an override without ``=``, or an empty batch.
    """
    from fvcore.common.config import CfgNode

    settings = CfgNode.load_yaml_with_base(str(trial.benchmark.config_path))
    solver = settings["SOLVER"]
    data = trial.benchmark.dataset
    if data.is_own and not data.content:
        return Work(arch=trial.benchmark.arch or arch, phases=())  # of how many images, nobody knows
    protocol = _schedule(solver)
    if data.is_own:
        is_frozen = settings["MODEL"]["BACKBONE"]["FREEZE_AT"] > 0
        set_nested(settings, own_settings(data, trial.data, protocol, is_frozen=is_frozen))
        protocol = _schedule(solver)
    if trial.rescale is not None:
        solver.update(IMS_PER_BATCH=trial.rescale, MAX_ITER=rescaled(protocol, trial.rescale).iterations)
    for override in trial.overrides:
        key, text = override_syntax.split(override)
        try:
            set_nested(settings, {key: ast.literal_eval(text)})
        except (ValueError, SyntaxError):
            set_nested(settings, {key: text})
    return _work(settings, trial.benchmark, trial.overrides, arch)


def _schedule(solver: Mapping[str, Any]) -> BatchSchedule:
    return BatchSchedule(
        batch_size=solver["IMS_PER_BATCH"],
        learning_rate=solver["BASE_LR"],
        iterations=solver["MAX_ITER"],
        milestones=tuple(solver["STEPS"]),
    )


def recorded_work(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :meth:`transfer.task.Task.recorded_work`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    settings = yaml.load(record.resolved_config, Loader=loader)
    return _work(settings, benchmark, record.protocol_difference, record.weights.arch)


def _work(settings: Mapping[str, Any], benchmark: Benchmark, changes: Sequence[str], arch: str | None) -> Work:
    changed = variant(changes, PER_IMAGE)
    counted = COSTS.get(benchmark.counted_as)
    train_cost: Cost = counted.train if counted else None
    test_cost: Cost = counted.test if counted else None
    if settings["MODEL"]["BACKBONE"]["NAME"] != ANY_BACKBONE:
        arch = f"resnet{settings['MODEL']['RESNETS']['DEPTH']}"
    elif benchmark.arch is None and arch is not None:
        counted, train_cost, test_cost = _with_network(settings, benchmark, arch)
    if changed:
        counted = train_cost = test_cost = None
    solver = settings["SOLVER"]
    iterations, batch_size = int(solver["MAX_ITER"]), int(solver["IMS_PER_BATCH"])
    phases = [Phase(what=TRAINING, num_images=iterations * batch_size, steps=iterations, trains=True, cost=train_cost)]
    precise_bn = settings.get("TEST", {}).get("PRECISE_BN", {})
    if precise_bn.get("ENABLED"):
        num_images = precise_bn.get("NUM_ITER", PRECISE_BN_BATCHES) * batch_size
        what = "precise batch norm"
        phases.append(Phase(what=what, num_images=num_images, trains=False, cost=test_cost, reported=False))
    splits = own_splits(settings["OWN"]) if "OWN" in settings else known_splits()
    test_split = splits.get(settings["DATASETS"]["TEST"][0])
    num_test = test_split.num_images if test_split else None
    if num_test is not None:
        phases.append(Phase(what="testing", num_images=num_test, trains=False, cost=test_cost))
    disk = {}
    if counted and 0 < solver.get("CHECKPOINT_PERIOD", 5000) < iterations:
        disk["checkpoints"] = counted.checkpoint_bytes(adam=solver.get("OPTIMIZER", "SGD") != "SGD")
    return Work(
        arch=arch,
        phases=tuple(phases),
        variant=changed,
        uncounted=() if num_test is not None else ("the test: its number of images is not known",),
        disk=disk,
        memory=step_memory(settings, arch),
    )


def step_memory(settings: Mapping[str, Any], arch: str | None) -> StepMemory | None:
    """What a step takes; None where the network is not known.

    Args:
        settings: Detectron2's config, or a protocol's file, which leaves some of Detectron2's defaults out.
        arch: where the protocol takes any.
    """
    model, batch_size = settings["MODEL"], int(settings["SOLVER"]["IMS_PER_BATCH"])
    takes_any = model["BACKBONE"]["NAME"] == ANY_BACKBONE
    is_frozen = model["BACKBONE"]["FREEZE_AT"] >= ALL_STAGES
    if takes_any and not arch and not is_frozen:
        return None
    network = None
    image_bytes = IMAGE_BYTES["C4" if "res4" in model["ROI_HEADS"]["IN_FEATURES"] else "FPN"]
    if takes_any or is_frozen:  # pyramid and heads are what is left when the backbone is frozen
        image_bytes = IMAGE_BYTES["frozen"]
    if takes_any and arch and not is_frozen:
        network = NetworkMemory(arch=arch, height=LARGEST_IMAGE[0], width=LARGEST_IMAGE[1])
        has_batch_norm = architecture.has_batch_norm(arch)
    else:
        has_batch_norm = not is_frozen and _norm(model, "RESNETS") in BATCH_NORMS
    of_heads = [_norm(model, part) for part in ("FPN", "ROI_BOX_HEAD", "ROI_MASK_HEAD")]
    return StepMemory(
        batch_size=batch_size,
        image_bytes=image_bytes,
        network=network,
        has_batch_norm=has_batch_norm or any(norm in BATCH_NORMS for norm in of_heads),
        is_divisible=True,
    )


def _norm(model: Mapping[str, Any], part: str) -> str:
    """By default Detectron2 has none, and in a ResNet a frozen one: neither is a batch norm that learns."""
    return str(model.get(part, {}).get("NORM", ""))


def _with_network(
    settings: Mapping[str, Any], benchmark: Benchmark, arch: str
) -> tuple[ModelCost, NetworkPass, NetworkPass]:
    """What all but the network costs, with all parameters; and a training and a test image of 4:3, as it is padded."""
    sizes, is_frozen = settings["INPUT"]["MIN_SIZE_TRAIN"], settings["MODEL"]["BACKBONE"]["FREEZE_AT"] > 0
    counted = without_network(benchmark.counted_as, arch, is_frozen=is_frozen)

    def through(shorter: float, times: int, flop: Flop) -> NetworkPass:
        height, width = (STRIDE * math.ceil(round(side) / STRIDE) for side in (shorter, shorter * 4 / 3))
        return NetworkPass(arch=arch, height=height, width=width, times=times, rest=flop)

    in_training = through(sum(sizes) / len(sizes), 1 if is_frozen else 3, counted.train)
    return counted, in_training, through(settings["INPUT"]["MIN_SIZE_TEST"], 1, counted.test)


def settings_for(arch: str) -> list[str]:
    """The overrides that give the detector of a ResNet a backbone of another architecture."""
    spec = RESNETS.get(arch)
    if spec is None:
        return [f"MODEL.BACKBONE.NAME={ANY_BACKBONE}"]
    return [f"MODEL.RESNETS.DEPTH={spec.depth}", f"MODEL.RESNETS.RES2_OUT_CHANNELS={64 * spec.expansion}"]
