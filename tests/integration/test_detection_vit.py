"""Detection protocols on ViTs: from YAML and checkpoint to a trained step, a whole trial, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import UserError
from common.files import sha256_text
from tests.backbones import NARROW_VIT
from tests.few_scenes import make_few_scenes
from tests.noise_scene import SIZE, scene
from transfer import benchmarks
from transfer.tasks.detection.config import protocol_config
from transfer.tasks.detection.model import seeded_model
from transfer.tasks.detection.optimizer import build_optimizer
from transfer.tasks.detection.task import run
from transfer.tasks.detection.trainer import STATE_NAME, make_trainer
from transfer.tasks.detection.weights import backbone_tensors, check_fits, load_backbone_weights
from transfer.trial import Trial, WeightsRef
from transfer.weights.backbone import random_backbone
from transfer.weights.convert.convert import convert, get_target
from transfer.weights.convert.detectron2 import read

pytestmark = pytest.mark.usefixtures("narrow_vit")

# One at full width; the others differ from it in width alone, and are built with a ViT of four narrow blocks.
WIDTHS = {
    "voc-deit-s": "deit_small",
    "voc-vit-b": NARROW_VIT,
    "coco-deit-s": NARROW_VIT,
    "coco-vit-b": NARROW_VIT,
}


def protocol(name: str) -> Any:
    return protocol_config(benchmarks.get(name).config_path, device="cpu")


@pytest.mark.parametrize(("name", "arch"), WIDTHS.items())
def test_vit_protocol_loads_its_weights_takes_a_training_step_and_detects(name: str, arch: str, tmp_path: Path) -> None:
    cfg = protocol(name)
    cfg.MODEL.VIT.ARCH = arch
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16  # four convolutions on 512 regions take a minute
    converted = convert(random_backbone(arch, seed=4), get_target("detectron2", arch), tmp_path, "weights")
    check_fits(cfg, converted)
    model = seeded_model(cfg, seed=0)
    load_backbone_weights(model, converted.path)
    file = read(converted.path)
    before = {key: value.clone() for key, value in backbone_tensors(model).items()}
    assert before.keys() == file.keys() and all(torch.equal(before[key], value) for key, value in file.items())

    trainer = make_trainer(cfg, model, build_optimizer(cfg, model), [[scene(cfg, 1), scene(cfg, 2)]])
    trainer.train(0, 1)  # raises if the loss is not finite
    losses = {key: value for key, (value, _) in trainer.storage.latest().items() if key.startswith("loss_")}
    expected = {"loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"}
    assert losses.keys() == expected | ({"loss_mask"} if cfg.MODEL.MASK_ON else set())
    assert all(np.isfinite(value) for value in losses.values())
    after = backbone_tensors(model)
    assert not [key for key in file if torch.equal(after[key], before[key])], "everything is fine-tuned"

    model.eval()
    with torch.no_grad():
        found = model([{"image": scene(cfg, 3)["image"], "height": SIZE, "width": SIZE}])[0]["instances"]
    assert torch.isfinite(found.pred_boxes.tensor).all() and found.has("pred_masks") == cfg.MODEL.MASK_ON


@pytest.mark.parametrize(
    ("key", "value"),
    [("INPUT.FORMAT", "BGR"), ("MODEL.PIXEL_MEAN", [103.53, 116.28, 123.675]), ("MODEL.PIXEL_STD", [1.0, 1.0, 1.0])],
)
def test_no_fault_in_a_vit_protocol_gets_past_the_proof_of_its_weights(key: str, value: object, tmp_path: Path) -> None:
    converted = convert(random_backbone(NARROW_VIT, seed=4), get_target("detectron2", NARROW_VIT), tmp_path, "weights")
    cfg = protocol("coco-vit-b")
    cfg.merge_from_list(["MODEL.VIT.ARCH", NARROW_VIT, key, value])
    with pytest.raises(UserError, match=key.rpartition(".")[2].lower().replace("format", "input_format")):
        check_fits(cfg, converted)


# ---- whole trials ----------------------------------------------------------------------------------

DIGITS = (
    "DATASETS.TRAIN=('digits_voc_2007_trainval',)",
    "DATASETS.TEST=('digits_voc_2007_test',)",
    "INPUT.MIN_SIZE_TRAIN=(96,)",
    "INPUT.MIN_SIZE_TEST=96",
    f"MODEL.VIT.ARCH={NARROW_VIT}",
    "MODEL.ROI_HEADS.NUM_CLASSES=10",
    "MODEL.ROI_BOX_HEAD.CONV_DIM=16",
    "MODEL.ROI_BOX_HEAD.FC_DIM=16",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE=16",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.0",
    "SOLVER.MAX_ITER=4",
    "SOLVER.STEPS=(3,)",
    "SOLVER.CHECKPOINT_PERIOD=2",
    "SOLVER.IMS_PER_BATCH=2",
    "TEST.PRECISE_BN.NUM_ITER=1",
    "DATALOADER.NUM_WORKERS=0",
)


@pytest.fixture
def make_trial(digits: Path, tmp_path: Path) -> Callable[..., Trial]:
    data = make_few_scenes(digits, tmp_path / "digits")
    (tmp_path / "weights").mkdir()

    def make(arch: str, work: str) -> Trial:
        (tmp_path / work).mkdir()
        return Trial(
            benchmark=benchmarks.get("voc-vit-b"),
            weights=WeightsRef(name="random", source=f"random:{arch}", sha256=sha256_text(f"random:{arch}")),
            seed=1,
            data=data,
            overrides=DIGITS,
            device="cpu",
            work_dir=tmp_path / work,
            weights_dir=tmp_path / "weights",
        )

    return make


class KilledError(Exception):
    """Stands for a kill: raised from the progress call, in the middle of training."""


def test_killed_vit_trial_goes_on_with_adamws_moments_and_dropped_paths(make_trial: Callable[..., Trial]) -> None:
    whole, killed = make_trial(NARROW_VIT, "whole"), make_trial(NARROW_VIT, "killed")
    expected = run(whole)
    assert expected.arch == NARROW_VIT and expected.standing == "off protocol"

    def kill(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run(replace(killed, progress=kill))
    assert run(killed).metrics == expected.metrics
    ours, theirs = (torch.load(trial.work_dir / STATE_NAME, weights_only=True) for trial in (killed, whole))
    assert all(torch.equal(ours["model"][key], value) for key, value in theirs["model"].items())
    optimizer = ours["trainer"]["optimizer"]
    assert all("exp_avg_sq" in state for state in optimizer["state"].values())
    rates = sorted({group["initial_lr"] for group in optimizer["param_groups"]}, reverse=True)
    assert rates == pytest.approx([1e-4 * 0.7**power for power in range(6)]), "heads, four blocks, embeddings"


def test_a_resnet_in_a_trial_of_a_vit_is_refused_before_it_trains(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial("resnet18", "work")
    with pytest.raises(UserError, match=f"the weights are of a resnet18, the config has a {NARROW_VIT}"):
        run(trial)
    assert not list(trial.work_dir.iterdir())
