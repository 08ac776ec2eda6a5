"""Detection configs: the protocols' figures, overrides, and what counts as a difference."""

from __future__ import annotations

import pytest
import yaml

from tests.detection_configs import differences, standing, trial
from transfer import benchmarks
from transfer.commands.trial_command import typed_names
from transfer.protocol_lock import rescaled
from transfer.tasks.detection.config import (
    NOT_PROTOCOL,
    NOT_SUPPORTED,
    SET_BY_TRIAL,
    apply_overrides,
    leaves,
    protocol_config,
    protocol_difference,
    resolve_config,
    resolved_text,
    schedule,
)
from twist_common.errors import UserError

FROZEN = {
    "voc-frozen": "voc",
    "coco-frozen": "coco",
    "voc-any-frozen": "voc-any",
    "coco-any-frozen": "coco-any",
    "demo-voc-frozen": "demo-voc",
    "own-coco-frozen": "own-coco",
    "own-voc-frozen": "own-voc",
    "own-coco-any-frozen": "own-coco-any",
    "own-voc-any-frozen": "own-voc-any",
}
ANY = ("voc-any", "coco-any", "own-coco-any", "own-voc-any")
DETECTION = ("voc", "coco", "voc-c4", "coco-c4", "demo-voc", "demo-coco", "own-coco", "own-voc", *FROZEN, *ANY)


def test_the_command_reaches_every_benchmark_by_name() -> None:
    names, frozen = typed_names(benchmarks.DETECTION), typed_names(benchmarks.DETECTION, "--frozen")
    reached = {name for typed in (*names.values(), *frozen.values()) for name in typed}
    assert reached == {name for name, each in benchmarks.BENCHMARKS.items() if each.task == benchmarks.DETECTION}
    assert all(names[name] == (name,) for name in ANY)
    assert {base: name for name, base in FROZEN.items()} == {typed: name for typed, (name,) in frozen.items()}
    assert set(DETECTION) == reached


PUBLISHED = {  # TWIST's official detection/voc_fpn_1fc, and the Mask R-CNN set-up beside it
    "voc": {
        "DATASETS.TRAIN": ("voc_2007_trainval", "voc_2012_trainval"),
        "DATASETS.TEST": ("voc_2007_test",),
        "INPUT.MIN_SIZE_TRAIN": tuple(range(480, 801, 32)),
        "MODEL.MASK_ON": False,
        "SOLVER.MAX_ITER": 24000,
        "SOLVER.STEPS": (18000, 22000),
        "SOLVER.WARMUP_ITERS": 100,
    },
    "coco": {
        "DATASETS.TRAIN": ("coco_2017_train",),
        "DATASETS.TEST": ("coco_2017_val",),
        "INPUT.MIN_SIZE_TRAIN": tuple(range(640, 801, 32)),
        "MODEL.MASK_ON": True,
        "MODEL.ROI_MASK_HEAD.NORM": "SyncBN",
        "SOLVER.MAX_ITER": 90000,
        "SOLVER.STEPS": (60000, 80000),
    },
}
MOCO = {  # detection/configs/Base-RCNN-C4-BN.yaml and those that build on it, *_moco.yaml
    "voc-c4": PUBLISHED["voc"] | {"MODEL.ROI_HEADS.NUM_CLASSES": 20},
    "coco-c4": {
        **{key: value for key, value in PUBLISHED["coco"].items() if key != "MODEL.ROI_MASK_HEAD.NORM"},
        "MODEL.ROI_HEADS.NUM_CLASSES": 80,
        "MODEL.ROI_MASK_HEAD.NUM_CONV": 0,
        "SOLVER.WARMUP_ITERS": 1000,
    },
}
MOCO_COMMON = {
    "INPUT.FORMAT": "RGB",
    "INPUT.MIN_SIZE_TEST": 800,
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.NORM": "naiveSyncBN",
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.ROI_HEADS.IN_FEATURES": ["res4"],
    "MODEL.ROI_HEADS.NAME": "Res5HeadsWithNorm",
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 6000,
    "SOLVER.BASE_LR": 0.02,
    "SOLVER.IMS_PER_BATCH": 16,
    "TEST.PRECISE_BN.ENABLED": True,
}
COMMON = {
    "INPUT.FORMAT": "RGB",
    "INPUT.MIN_SIZE_TEST": 800,
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.FPN.NORM": "SyncBN",
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.NORM": "SyncBN",
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.ROI_BOX_HEAD.NORM": "SyncBN",
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 4,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
    "SOLVER.BASE_LR": 0.02,
    "SOLVER.IMS_PER_BATCH": 16,
    "TEST.PRECISE_BN.ENABLED": True,
}


@pytest.mark.parametrize("name", [*PUBLISHED, *MOCO])
def test_paper_configs_have_the_published_settings(name: str) -> None:
    wanted = COMMON | PUBLISHED[name] if name in PUBLISHED else MOCO_COMMON | MOCO[name]
    cfg = protocol_config(benchmarks.get(name).config_path, device="cuda")
    used = {key: tuple(value) if isinstance(value, list) else value for key, value in leaves(cfg)}
    expected = {key: tuple(value) if isinstance(value, list) else value for key, value in wanted.items()}
    assert {key: used[key] for key in expected} == expected


@pytest.mark.parametrize("name", DETECTION)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_overrides_a_trial_is_on_protocol_on_every_device(name: str, device: str) -> None:
    assert differences(name, device=device) == []


def test_on_cpu_sync_bn_becomes_bn_and_is_recorded() -> None:
    assert "SyncBN" not in resolved_text(resolve_config(trial("coco")))
    assert resolved_text(resolve_config(trial("coco", device="cuda"))).count("SyncBN") == 4


def test_a_sync_bn_asked_for_by_the_user_runs_on_cpu_too() -> None:
    assert differences("voc", "MODEL.FPN.NORM=GN") == ["MODEL.FPN.NORM: BN -> GN"]
    assert differences("demo-voc", "MODEL.FPN.NORM=SyncBN") == []  # on one process, BN


def test_every_override_is_listed_with_both_values() -> None:
    found = differences("voc", "SOLVER.MAX_ITER=50", "SOLVER.BASE_LR=1", "DATASETS.TRAIN=('voc_2007_trainval',)")
    assert found == [
        "DATASETS.TRAIN: ('voc_2007_trainval', 'voc_2012_trainval') -> ('voc_2007_trainval',)",
        "SOLVER.BASE_LR: 0.02 -> 1.0",
        "SOLVER.MAX_ITER: 24000 -> 50",
    ]


@pytest.mark.parametrize("key", NOT_PROTOCOL)
def test_how_a_trial_runs_is_no_difference_of_protocol(key: str) -> None:
    before = dict(leaves(protocol_config(benchmarks.get("voc").config_path, device="cpu")))[key]
    assert differences("voc", f"{key}={True if before is False else before + 1}") == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("SOLVER.MAX_ITERS=3", "did you mean 'SOLVER.MAX_ITER'"),
        ("SOLVR.MAX_ITER=3", "did you mean 'SOLVER.MAX_ITER'"),
        ("solver.base_lr=3", "unknown setting"),
        ("SOLVER.MAX_ITER=many", "expected a value of type int"),
        ("SOLVER.MAX_ITER=-1", "SOLVER.MAX_ITER is -1, it must be at least 1"),
        ("SOLVER.BASE_LR=-1", "SOLVER.BASE_LR is -1.0, it cannot be negative"),
        ("SOLVER.MAX_ITER=2.5", "expected a value of type int"),
        ("SOLVER.BASE_LR=high", "expected a value of type float"),
        ("MODEL.MASK_ON=1", "expected a value of type bool"),
        ("SOLVER.STEPS=5", "expected a value of type tuple"),
        ("MODEL.RESNETS=5", "names a group of settings"),
        ("MODEL.WEIGHTS=x.pkl", "the trial sets it"),
        ("TEST.AUG.ENABLED=True", "do not use this setting"),
        ("SOLVER.AMP.ENABLED=True", "needs a GPU"),
        ("SOLVER.MAX_ITER", "not of the form key=value"),
    ],
)
def test_a_bad_override_is_the_users_error(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_config(trial("voc", override))


def test_the_message_for_an_unknown_key_stays_readable() -> None:
    with pytest.raises(UserError) as caught:
        resolve_config(trial("voc", "MODEL.RESNETS.DEPHT=3"))
    assert len(str(caught.value)) < 900


def test_settings_that_are_refused_exist() -> None:
    known = dict(leaves(protocol_config(benchmarks.get("voc").config_path, device="cpu")))
    assert not {*SET_BY_TRIAL, *NOT_SUPPORTED, *NOT_PROTOCOL} - known.keys() - {"DATALOADER.RANDOM_SUBSET_RATIO"}


def test_resolved_text_names_no_folder_weights_or_seed_and_has_every_default() -> None:
    config = yaml.safe_load(resolved_text(resolve_config(trial("voc"))))
    assert not {"OUTPUT_DIR", "SEED"} & config.keys()
    assert "WEIGHTS" not in config["MODEL"]
    assert config["SOLVER"]["NESTEROV"] is False


def test_overrides_are_set_in_order() -> None:
    cfg = protocol_config(benchmarks.get("voc").config_path, device="cpu")
    apply_overrides(cfg, ["SOLVER.MAX_ITER=1", "SOLVER.MAX_ITER=2"])
    assert cfg.SOLVER.MAX_ITER == 2


@pytest.mark.parametrize(("name", "trained"), FROZEN.items())
def test_a_frozen_probe_differs_from_its_benchmark_in_what_is_frozen_and_in_its_length(name: str, trained: str) -> None:
    frozen, full = (protocol_config(benchmarks.get(each).config_path, device="cuda") for each in (name, trained))
    changed = {line.partition(": ")[0] for line in protocol_difference(frozen, full)}
    assert changed - {"SOLVER.MAX_ITER", "SOLVER.STEPS"} == {"MODEL.BACKBONE.FREEZE_AT"}
    assert frozen.MODEL.BACKBONE.FREEZE_AT == 5
    assert benchmarks.get(name).title != benchmarks.get(trained).title


def test_frozen_stages_cannot_be_overridden_into_a_row_of_the_fine_tuned_benchmark() -> None:
    with pytest.raises(UserError, match="makes another benchmark"):
        resolve_config(trial("voc", "MODEL.BACKBONE.FREEZE_AT=2"))


@pytest.mark.parametrize("name", DETECTION)
def test_every_protocol_can_be_rescaled_and_says_so(name: str) -> None:
    protocol = schedule(protocol_config(benchmarks.get(name).config_path, device="cpu"))
    used = schedule(resolve_config(trial(name, rescale=2 * protocol.batch_size)))
    assert used == rescaled(protocol, 2 * protocol.batch_size) != protocol
    assert standing(name) == "on protocol"
    assert standing(name, rescale=2 * protocol.batch_size) == "rescaled"
    assert standing(name, rescale=protocol.batch_size) == "on protocol"


def test_a_batch_of_eight_is_off_protocol_without_all_that_goes_with_it() -> None:
    parts = ["SOLVER.BASE_LR=0.01", "SOLVER.MAX_ITER=48000", "SOLVER.STEPS=(36000,44000)", "SOLVER.WARMUP_ITERS=200"]
    assert standing("voc", "SOLVER.IMS_PER_BATCH=8") == "off protocol"
    assert standing("voc", "SOLVER.IMS_PER_BATCH=8", *parts) == "rescaled"
    for left_out in parts:
        kept = [part for part in parts if part != left_out]
        assert standing("voc", "SOLVER.IMS_PER_BATCH=8", *kept) == "off protocol"


@pytest.mark.parametrize(
    "override",
    [
        "MODEL.RESNETS.STRIDE_IN_1X1=True",
        "INPUT.FORMAT=BGR",
        "MODEL.PIXEL_MEAN=[103.53,116.28,123.675]",
        "MODEL.PIXEL_STD=[1.0,1.0,1.0]",
    ],
)
def test_what_feeds_or_builds_the_backbone_differently_is_never_taken_for_the_protocol(override: str) -> None:
    assert standing("voc", override) == "off protocol"
    assert standing("voc", override, rescale=8) == "off protocol"
