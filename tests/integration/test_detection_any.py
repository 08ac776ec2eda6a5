"""Detection on any network: from a checkpoint to a proved conversion, a trained step and a whole trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import NARROW_VIT
from tests.few_scenes import make_few_scenes
from tests.noise_scene import assert_detects, assert_takes_a_step
from tests.timm_networks import QUICK, TABLE, saved
from transfer import benchmarks
from transfer.tasks.detection.accumulation import memory_of
from transfer.tasks.detection.config import protocol_config, with_weights
from transfer.tasks.detection.model import seeded_model
from transfer.tasks.detection.task import run
from transfer.tasks.detection.trainer import STATE_NAME
from transfer.tasks.detection.weights import backbone_tensors, check_fits, load_backbone_weights
from transfer.tasks.network_cost import image_bytes
from transfer.trial import Trial, WeightsRef
from transfer.weights.backbone import Backbone, architecture, load_backbone, random_backbone
from transfer.weights.convert.convert import Converted, convert, get_target
from transfer.weights.convert.detectron2 import read
from twist_common.errors import UserError
from twist_common.files import sha256_text

pytestmark = pytest.mark.usefixtures("narrow_vit")

OURS = ("resnet18", NARROW_VIT)
ALL_OURS = ("resnet34", "resnet50", "resnet101", "resnet50w2", "deit_small", "vit_base")


def converted(backbone: Backbone, folder: Path) -> Converted:
    return convert(backbone, get_target("detectron2-any", backbone.arch), folder, "weights")


def protocol(name: str, weights: Converted) -> Any:
    cfg = with_weights(protocol_config(benchmarks.get(name).config_path, device="cpu"), weights.proof["settings"])
    cfg.defrost()
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16  # four convolutions on 512 regions take a minute
    cfg.MODEL.FPN.OUT_CHANNELS = cfg.MODEL.ROI_BOX_HEAD.CONV_DIM = cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    check_fits(cfg, weights)
    return cfg


def assert_takes_a_step_and_detects(name: str, weights: Converted, *, is_frozen: bool = False) -> None:
    cfg = protocol(name, weights)
    model = seeded_model(cfg, seed=0)
    load_backbone_weights(model, weights.path)
    file = read(weights.path)
    before = {key: value.clone() for key, value in backbone_tensors(model).items()}
    assert before.keys() == file.keys() and all(torch.equal(before[key], value) for key, value in file.items())

    assert_takes_a_step(cfg, model)
    after = backbone_tensors(model)
    same = [key for key in file if torch.equal(after[key], before[key])]
    # what a layer scale of 1e-6 or a dropped branch is behind may stay as it is for one step
    assert same == list(file) if is_frozen else len(same) < len(file) / 10
    assert is_frozen or not [n for n, p in model.named_parameters() if p.grad is None], "these would stop DDP"

    assert_detects(cfg, model)


@pytest.mark.parametrize("arch", OURS + (ALL_OURS if TABLE != QUICK else ()))
def test_our_networks_are_converted_take_a_step_and_detect(arch: str, tmp_path: Path) -> None:
    weights = converted(random_backbone(arch, seed=4), tmp_path)
    assert list(weights.proof["stages"]) == list(architecture.get(arch).stages)
    assert_takes_a_step_and_detects("coco-any", weights)


@pytest.mark.parametrize("arch", ["test_efficientnet", "test_vit"])
def test_a_frozen_network_stays_as_it_was_statistics_included(arch: str, tmp_path: Path) -> None:
    assert_takes_a_step_and_detects("voc-any-frozen", converted(random_backbone(arch, 4), tmp_path), is_frozen=True)


@pytest.mark.parametrize("arch", TABLE)
def test_a_network_of_timm_is_loaded_proved_takes_a_step_and_detects(arch: str, tmp_path: Path) -> None:
    backbone = load_backbone(f"timm:{arch}@{saved(arch, tmp_path / 'weights.pth')}")
    spec = architecture.get(arch)
    if not spec.any_size:
        with pytest.raises(UserError, match=r"takes images of \d+x\d+ px only, detection any; convert it for timm"):
            converted(backbone, tmp_path)
        return
    for tensor in backbone.state_dict.values():
        if tensor.is_floating_point() and not tensor.any():
            tensor.fill_(0.1)  # branches that begin with a scale of zero would not learn
    weights = converted(backbone, tmp_path)
    stages = weights.proof["stages"]
    assert list(stages) == list(spec.stages)
    shapes = weights.proof["images"]["shapes"]
    assert any(height != width for *_, height, width in shapes)
    print(f"{arch:40s}" + "".join(f"{stage['max_abs_difference'] / stage['rms']:9.1e}" for stage in stages.values()))
    assert_takes_a_step_and_detects("voc-any", weights)


@pytest.mark.parametrize("arch", ["vit_small_patch14_reg4_dinov2", "vit_small_patch8_224", "vit_tiny_patch16_224"])
def test_a_plain_network_has_a_pyramid_at_the_usual_strides_whatever_its_patches(arch: str) -> None:
    cfg = protocol_config(benchmarks.get("voc-any").config_path, device="cpu")
    cfg.MODEL.NETWORK.ARCH = arch
    pyramid = seeded_model(cfg, seed=0).backbone
    with torch.no_grad():
        maps = pyramid(torch.zeros(1, 3, 64, 96))
    assert {name: tuple(each.shape[-2:]) for name, each in maps.items()} == {
        "p2": (16, 24), "p3": (8, 12), "p4": (4, 6), "p5": (2, 3), "p6": (1, 2)
    }  # fmt: skip


def test_batch_norms_are_taken_over_all_processes_and_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from detectron2.utils import comm

    from transfer.weights.convert.detectron2_backbone import AnyBackbone

    alone = AnyBackbone("test_efficientnet", sync_norm=True)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shared = AnyBackbone("test_efficientnet", sync_norm=True)
    of_kind = [sum(isinstance(m, torch.nn.SyncBatchNorm) for m in each.modules()) for each in (alone, shared)]
    assert of_kind == [0, sum(isinstance(m, torch.nn.BatchNorm2d) for m in alone.modules())] and of_kind[1] > 5
    assert list(shared.state_dict()) == list(alone.state_dict())


def test_memory_of_an_image_follows_the_network() -> None:
    cfg = protocol_config(benchmarks.get("voc-any").config_path, device="cpu")
    needed = {}
    for arch in ("resnet50", "vit_base", "vit_large_patch16_224"):
        cfg.MODEL.NETWORK.ARCH = arch
        needed[arch] = image_bytes(memory_of(cfg)) / 2**30
    assert needed == pytest.approx({"resnet50": 3.7, "vit_base": 4.5, "vit_large_patch16_224": 8.6}, abs=0.2)
    cfg.MODEL.BACKBONE.FREEZE_AT = 5
    assert image_bytes(memory_of(cfg)) == 2 * 2**30


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("INPUT.FORMAT", "BGR"),
        ("MODEL.PIXEL_MEAN", [103.53, 116.28, 123.675]),
        ("MODEL.PIXEL_STD", [1.0, 1.0, 1.0]),
        ("MODEL.NETWORK.ARCH", "deit_small"),
    ],
)
def test_no_fault_in_a_config_gets_past_the_proof_of_its_weights(key: str, value: object, tmp_path: Path) -> None:
    weights = converted(random_backbone(NARROW_VIT, seed=4), tmp_path)
    cfg = protocol("coco-any", weights)
    cfg.merge_from_list([key, value])
    with pytest.raises(UserError, match=key.rpartition(".")[2].lower().replace("format", "input_format")):
        check_fits(cfg, weights)


# ---- whole trials ----------------------------------------------------------------------------------

DIGITS = (
    "DATASETS.TRAIN=('digits_voc_2007_trainval',)",
    "DATASETS.TEST=('digits_voc_2007_test',)",
    "INPUT.MIN_SIZE_TRAIN=(96,)",
    "INPUT.MIN_SIZE_TEST=96",
    "MODEL.FPN.OUT_CHANNELS=32",
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
            benchmark=benchmarks.get("voc-any"),
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


def test_killed_trial_goes_on_with_adamws_moments_and_dropped_paths(make_trial: Callable[..., Trial]) -> None:
    whole, killed = make_trial(NARROW_VIT, "whole"), make_trial(NARROW_VIT, "killed")
    expected = run(whole)
    assert expected.arch == NARROW_VIT and expected.standing == "off protocol"
    assert not any("NETWORK" in line for line in expected.protocol_difference), "the weights' own is the protocol"
    assert f"ARCH: {NARROW_VIT}" in expected.resolved_config

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
    # heads, four blocks that are three of a ViT-B's each, embeddings
    assert rates == pytest.approx([1e-4 * 0.7**power for power in (0, 3, 6, 9, 12, 15)])


def test_a_pyramid_of_timm_runs_a_whole_trial_by_its_stages(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial("test_efficientnet", "work")
    assert run(trial).arch == "test_efficientnet"
    groups = torch.load(trial.work_dir / STATE_NAME, weights_only=True)["trainer"]["optimizer"]["param_groups"]
    rates = sorted({group["initial_lr"] for group in groups}, reverse=True)
    assert rates == pytest.approx([1e-4 * 0.7**power for power in range(7)]), "heads, five stages, stem"
