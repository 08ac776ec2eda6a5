"""What a segmentation trial computes, read from its protocol without importing MMSegmentation or torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.tasks.costs import COSTS, without_network
from transfer.tasks.segmentation.config import dump, protocol_of, resolve_config
from transfer.trial import TrialSettings
from transfer.weights.backbone import architecture
from transfer.work import TRAINING, Flop, ModelCost, NetworkMemory, NetworkPass, Phase, StepMemory, Work, variant

Cost = Flop | NetworkPass | None
# Settings that change what an image costs.
PER_IMAGE = ("model.", "by_kind.", "train_dataloader.dataset", "test_dataloader.dataset")
ALL_STAGES = 4  # the frozen_stages that freezes all of a ResNet

# A pixel of the crop in single precision, counted from what autograd keeps for the backward pass: 2,154 for R50 at
# crop 512, 441 of them for pyramid and head, which are some 570 with a ViT-B; 220 for the linear head on a frozen R50
# at crop 256. Rounded up for what exists for a moment only (gradients of maps, workspaces) and for the optimizer's
# state; the sums have not been checked on a GPU. Too high a figure costs time on small GPUs, too low a figure a failed
# trial.
PIXEL_BYTES = {"ResNet": 4096, "pyramid and head": 1024, "frozen": 1024}
CLASS_BYTES = 16  # a class more than VOC's 21: its scores at full size, their gradients and two copies in the loss
ROUNDED_UP = 1.5  # what is counted of any other backbone


def planned_work(trial: TrialSettings, arch: str | None) -> Work:
    """See :meth:`transfer.task.Task.planned_work`.

    Raises:
        UserError: an override that MMSegmentation's config does not know.
    """
    data = trial.benchmark.dataset
    if data.is_own and not data.content:
        return Work(arch=trial.benchmark.arch or arch, phases=())  # of how many images, nobody knows
    config, _ = resolve_config(protocol_of(trial), trial.overrides, trial.rescale)
    return _work(json.loads(dump(config)), trial.benchmark, trial.overrides, arch)


def recorded_work(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :meth:`transfer.task.Task.recorded_work`."""
    return _work(json.loads(record.resolved_config), benchmark, record.protocol_difference, record.weights.arch)


def _work(settings: Mapping[str, Any], benchmark: Benchmark, changes: Sequence[str], arch: str | None) -> Work:
    changed = variant(changes, PER_IMAGE)
    counted = COSTS.get(benchmark.counted_as)
    train_cost: Cost = counted.train if counted else None
    test_cost: Cost = counted.test if counted else None
    backbone = settings["model"]["backbone"]
    if backbone["type"] != "AnyBackbone":
        arch = f"resnet{backbone['depth']}"
    elif arch is not None:
        counted, train_cost, test_cost = _with_network(settings, benchmark, arch)
    if changed:
        counted = train_cost = test_cost = None
    iterations, batch_size = settings["train_cfg"]["max_iters"], settings["train_dataloader"]["batch_size"]
    phases = [Phase(what=TRAINING, num_images=iterations * batch_size, steps=iterations, trains=True, cost=train_cost)]
    num_test = (settings.get("num_images") or benchmark.dataset.counts).get("test")
    if num_test is not None:
        steps = math.ceil(num_test / settings["test_dataloader"]["batch_size"])
        phases.append(Phase(what="testing", num_images=num_test, steps=steps, trains=False, cost=test_cost))
    disk = {}
    checkpoint = settings["default_hooks"].get("checkpoint")
    if counted and checkpoint:
        adam = settings["optim_wrapper"]["optimizer"]["type"] != "SGD"
        num_kept = min(checkpoint["max_keep_ckpts"], math.ceil(iterations / checkpoint["interval"]))
        disk["checkpoints"] = num_kept * counted.checkpoint_bytes(adam=adam)
    return Work(
        arch=arch,
        phases=tuple(phases),
        variant=changed,
        uncounted=() if num_test is not None else ("the test: its number of images is not known",),
        notes=("warm-up",) if len(settings["param_scheduler"]) > 1 else (),
        disk=disk,
        memory=step_memory(settings, arch),
    )


def step_memory(settings: Mapping[str, Any], arch: str | None) -> StepMemory | None:
    """What a step takes, roughly; None where the network is not known.

    Args:
        settings: MMEngine's config, or that as plain containers, fitted to weights or not.
        arch: where the protocol takes any.
    """
    model, backbone = settings["model"], settings["model"]["backbone"]
    height, width = model["data_preprocessor"]["size"]
    is_frozen = backbone.get("frozen_stages", -1) >= ALL_STAGES or bool(backbone.get("frozen"))
    network, kind = None, "frozen" if is_frozen else "ResNet"
    if backbone["type"] != "ResNet" and arch:
        height, width = architecture.whole_patches((height, width), arch)
    if backbone["type"] != "ResNet" and not is_frozen:
        if not arch:
            return None
        kind = "pyramid and head"
        network = NetworkMemory(arch=arch, height=height, width=width, times=ROUNDED_UP)
    of_class = CLASS_BYTES * max(model["decode_head"].get("num_classes", 0) - 21, 0)
    return StepMemory(
        batch_size=settings["train_dataloader"]["batch_size"],
        image_bytes=(of_class + PIXEL_BYTES[kind]) * height * width,
        network=network,
        has_batch_norm=_has_batch_norm(model),
        is_divisible=True,
    )


def _has_batch_norm(model: Mapping[str, Any]) -> bool:
    """Whether a layer of the model normalises by the statistics of the batch in training."""

    def has_one(part: Any) -> bool:
        if isinstance(part, Mapping):
            return part.get("type") in ("BN", "SyncBN") or any(map(has_one, part.values()))
        return isinstance(part, (list, tuple)) and any(map(has_one, part))

    backbone = model["backbone"]
    is_fixed = backbone.get("norm_eval", False) or backbone.get("frozen_stages", -1) >= ALL_STAGES
    is_fixed = is_fixed or bool(backbone.get("frozen"))
    return any(has_one(part) for name, part in model.items() if name != "backbone" or not is_fixed)


def _with_network(
    settings: Mapping[str, Any], benchmark: Benchmark, arch: str
) -> tuple[ModelCost, NetworkPass, NetworkPass]:
    """What all but the network costs, with all parameters; and a training crop and a test image, in all its windows."""
    model = settings["model"]
    is_frozen = model["backbone"]["frozen"]
    counted = without_network(benchmark.counted_as, arch, is_frozen=is_frozen)

    def through(size: Sequence[int], times: int, flop: Flop) -> NetworkPass:
        height, width = architecture.whole_patches(size, arch)
        return NetworkPass(arch=arch, height=height, width=width, times=times, rest=flop)

    in_training = through(model["data_preprocessor"]["size"], 1 if is_frozen else 3, counted.train)
    size, num_windows, windows = test_size(settings), 1, model["test_cfg"]
    if windows["mode"] == "slide":
        sides = zip(size, windows["crop_size"], windows["stride"], strict=True)
        num_windows = math.prod(math.ceil(max(side - crop, 0) / stride) + 1 for side, crop, stride in sides)
        size = windows["crop_size"]
    elif windows["mode"] == "slide_flip":
        num_windows = 2  # the image, and the image mirrored
    return counted, in_training, through(size, num_windows, counted.test)


def test_size(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of an image of the data set's shape in the scale of the test pipeline, or the training size."""
    model = settings["model"]
    is_whole = model["test_cfg"]["mode"] == "slide_flip"  # in one window
    height, width = model["test_cfg"]["crop_size"] if is_whole else model["data_preprocessor"]["size"]
    for step in settings["test_dataloader"]["dataset"]["pipeline"]:
        if step["type"] == "Resize":
            long_edge, short_edge = max(step["scale"]), min(step["scale"])
            shape = 2 if "Cityscapes" in settings["test_dataloader"]["dataset"]["type"] else 4 / 3
            height, width = short_edge, min(long_edge, round(short_edge * shape))
    return height, width
