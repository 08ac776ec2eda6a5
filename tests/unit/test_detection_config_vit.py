"""Detection configs with ViTs: their figures, what the lock says of a change, and settings that would do nothing."""

from __future__ import annotations

import pytest

from common.errors import UserError
from tests.detection_configs import differences, standing, trial
from transfer import benchmarks
from transfer.tasks.detection.config import protocol_config, protocol_difference, resolve_config

VITS = {"voc-vit-b": "voc", "voc-deit-s": "voc", "coco-vit-b": "coco", "coco-deit-s": "coco"}


@pytest.mark.parametrize(("name", "resnet"), VITS.items())
def test_a_vit_differs_from_its_resnet_in_backbone_and_optimiser_alone(name: str, resnet: str) -> None:
    vit, other = (protocol_config(benchmarks.get(each).config_path, device="cuda") for each in (name, resnet))
    changed = {line.partition(": ")[0] for line in protocol_difference(vit, other)}
    assert changed - {"MODEL.VIT.ARCH", "SOLVER.WARMUP_ITERS"} == {
        "MODEL.BACKBONE.NAME",
        "MODEL.VIT.DROP_PATH",
        "SOLVER.BASE_LR",
        "SOLVER.LAYER_DECAY",
        "SOLVER.OPTIMIZER",
        "SOLVER.WEIGHT_DECAY",
    }
    arch = "vit_base" if name.endswith("vit-b") else "deit_small"
    assert arch == vit.MODEL.VIT.ARCH


@pytest.mark.parametrize("name", VITS)
def test_vits_have_the_optimiser_of_vitdets_vit_b(name: str) -> None:
    """projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py and what it builds on."""
    cfg = protocol_config(benchmarks.get(name).config_path, device="cuda")
    solver = cfg.SOLVER
    assert (solver.OPTIMIZER, solver.BASE_LR, solver.WEIGHT_DECAY) == ("AdamW", 1e-4, 0.1)
    assert (tuple(solver.ADAM_BETAS), solver.LAYER_DECAY, solver.WARMUP_FACTOR) == ((0.9, 0.999), 0.7, 0.001)
    assert solver.WARMUP_ITERS * solver.IMS_PER_BATCH == 250 * 64
    assert cfg.MODEL.VIT.DROP_PATH == 0.1


@pytest.mark.parametrize(
    "override",
    [
        "SOLVER.WEIGHT_DECAY=0.05",
        "SOLVER.LAYER_DECAY=0.8",
        "SOLVER.ADAM_BETAS=(0.9,0.95)",
        "SOLVER.BASE_LR=0.0002",
        "SOLVER.WARMUP_ITERS=250",
        "SOLVER.CLIP_GRADIENTS.ENABLED=True",
        "MODEL.VIT.DROP_PATH=0.2",
        "MODEL.VIT.ARCH=deit_small",
    ],
)
def test_lock_names_a_changed_setting_of_a_vits_training(override: str) -> None:
    key = override.partition("=")[0]
    assert [line.partition(": ")[0] for line in differences("voc-vit-b", override)] == [key]
    assert standing("voc-vit-b", override) == standing("voc-vit-b", override, rescale=8) == "off protocol"


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("voc", "SOLVER.OPTIMIZER=Adam", "did you mean 'AdamW'"),
        ("voc", "SOLVER.ADAM_BETAS=(0.9,0.95)", "SGD does not use this setting"),
        ("voc", "SOLVER.LAYER_DECAY=0.7", "layer-wise rates are for ViTs with AdamW"),
        ("voc", "MODEL.VIT.DROP_PATH=0.1", "build_resnet_fpn_backbone does not use this setting"),
        ("voc-vit-b", "SOLVER.OPTIMIZER=SGD", "set SOLVER.LAYER_DECAY=1.0"),
        ("voc-vit-b", "SOLVER.MOMENTUM=0.8", "AdamW does not use this setting"),
        ("voc-vit-b", "SOLVER.LAYER_DECAY=0", "above 0 and up to 1"),
        ("voc-vit-b", "SOLVER.ADAM_BETAS=(0.9,1.0)", "two numbers from 0"),
        ("voc-vit-b", "MODEL.RESNETS.DEPTH=101", "build_vit_simple_pyramid_backbone does not use this setting"),
        ("voc-vit-b", "SOLVER.AMP.ENABLED=True", "needs a GPU"),
        ("voc-frozen", "MODEL.BACKBONE.NAME=build_vit_simple_pyramid_backbone", "cannot be frozen"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(name: str, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_config(trial(name, override))
