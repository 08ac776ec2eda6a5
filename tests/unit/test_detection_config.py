"""Detection configs: the protocols' figures, overrides, and what counts as a difference."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from common.errors import UserError
from transfer import benchmarks
from transfer.detection.config import (
    NOT_PROTOCOL,
    NOT_SUPPORTED,
    SET_BY_TRIAL,
    apply_overrides,
    leaves,
    protocol_config,
    protocol_difference,
    resolve_config,
    resolved_text,
)
from transfer.trial import Trial, WeightsRef

DETECTION = ("voc", "coco", "demo-voc", "demo-coco")


def trial(name: str, *overrides: str, device: str = "cpu") -> Trial:
    return Trial(
        benchmark=benchmarks.get(name),
        weights=WeightsRef(name="random", source="random:resnet50", sha256="0" * 64),
        seed=0,
        data=Path("data"),
        overrides=overrides,
        device=device,
        work_dir=Path("work"),
        weights_dir=Path("weights"),
    )


def differences(name: str, *overrides: str, device: str = "cpu") -> list[str]:
    cfg = resolve_config(trial(name, *overrides, device=device))
    return protocol_difference(cfg, protocol_config(benchmarks.get(name).config_path, device=device))


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


@pytest.mark.parametrize("name", PUBLISHED)
def test_paper_configs_have_the_published_settings(name: str) -> None:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cuda")
    used = {key: tuple(value) if isinstance(value, list) else value for key, value in leaves(cfg)}
    expected = {
        key: tuple(value) if isinstance(value, list) else value for key, value in (COMMON | PUBLISHED[name]).items()
    }
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
def test_how_often_a_state_is_saved_is_no_difference_of_protocol(key: str) -> None:
    assert differences("voc", f"{key}=7") == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("SOLVER.MAX_ITERS=3", "did you mean 'SOLVER.MAX_ITER'"),
        ("SOLVR.MAX_ITER=3", "did you mean 'SOLVER.MAX_ITER'"),
        ("solver.base_lr=3", "unknown setting"),
        ("SOLVER.MAX_ITER=many", "expected a value of type int"),
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
