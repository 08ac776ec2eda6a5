"""Detection configs for any network: their figures, what the lock says of a change, settings of no use."""

from __future__ import annotations

import pytest

from tests.detection_configs import differences, standing, trial
from transfer import benchmarks
from transfer.tasks.detection.config import protocol_config, protocol_difference, resolve_config, with_weights
from transfer.weights.backbone.types import Preprocessing
from transfer.weights.convert.detectron2_any import settings
from twist_common.errors import UserError

ANY = {"voc-any": "voc", "coco-any": "coco", "voc-any-frozen": "voc-frozen", "coco-any-frozen": "coco-frozen"}


@pytest.mark.parametrize(("name", "resnet"), ANY.items())
def test_it_differs_from_the_resnets_protocol_in_backbone_and_optimiser_alone(name: str, resnet: str) -> None:
    mine, other = (protocol_config(benchmarks.get(each).config_path, device="cuda") for each in (name, resnet))
    changed = {line.partition(": ")[0] for line in protocol_difference(mine, other)}
    assert changed - {"SOLVER.WARMUP_ITERS"} == {
        "MODEL.BACKBONE.NAME",
        "MODEL.NETWORK.DROP_PATH",
        "SOLVER.BASE_LR",
        "SOLVER.LAYER_DECAY",
        "SOLVER.OPTIMIZER",
        "SOLVER.WEIGHT_DECAY",
    }
    assert mine.MODEL.NETWORK.ARCH == ""


@pytest.mark.parametrize("name", ANY)
def test_it_has_the_optimiser_of_vitdets_vit_b(name: str) -> None:
    """projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py and what it builds on."""
    cfg = protocol_config(benchmarks.get(name).config_path, device="cuda")
    solver = cfg.SOLVER
    assert (solver.OPTIMIZER, solver.BASE_LR, solver.WEIGHT_DECAY) == ("AdamW", 1e-4, 0.1)
    assert (tuple(solver.ADAM_BETAS), solver.LAYER_DECAY, solver.WARMUP_FACTOR) == ((0.9, 0.999), 0.7, 0.001)
    assert solver.WARMUP_ITERS * solver.IMS_PER_BATCH == 250 * 64
    assert cfg.MODEL.NETWORK.DROP_PATH == 0.1


@pytest.mark.parametrize("name", ANY)
def test_the_network_and_its_images_are_the_weights_own_and_no_difference(name: str) -> None:
    cfg = resolve_config(trial(name))
    half = Preprocessing("BGR", mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
    used = with_weights(cfg, settings("vit_base", half))
    assert (used.MODEL.NETWORK.ARCH, used.INPUT.FORMAT) == ("vit_base", "BGR")
    assert pytest.approx([127.5] * 3) == used.MODEL.PIXEL_MEAN
    assert differences(name) == [] and standing(name) == "on protocol"
    changed = {line.partition(": ")[0] for line in protocol_difference(used, cfg)}
    assert changed == {"MODEL.NETWORK.ARCH", "INPUT.FORMAT", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"}


@pytest.mark.parametrize(
    "override",
    [
        "SOLVER.WEIGHT_DECAY=0.05",
        "SOLVER.LAYER_DECAY=0.8",
        "SOLVER.ADAM_BETAS=(0.9,0.95)",
        "SOLVER.BASE_LR=0.0002",
        "SOLVER.WARMUP_ITERS=250",
        "SOLVER.CLIP_GRADIENTS.ENABLED=True",
        "MODEL.NETWORK.DROP_PATH=0.2",
        "MODEL.FPN.OUT_CHANNELS=128",
    ],
)
def test_lock_names_a_changed_setting(override: str) -> None:
    key = override.partition("=")[0]
    assert [line.partition(": ")[0] for line in differences("voc-any", override)] == [key]
    assert standing("voc-any", override) == standing("voc-any", override, rescale=8) == "off protocol"


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("voc", "SOLVER.OPTIMIZER=Adam", "did you mean 'AdamW'"),
        ("voc", "SOLVER.ADAM_BETAS=(0.9,0.95)", "SGD does not use this setting"),
        ("voc", "SOLVER.LAYER_DECAY=0.7", "layer-wise rates are for AdamW and protocols that take any network"),
        ("voc", "MODEL.NETWORK.DROP_PATH=0.1", "build_resnet_fpn_backbone does not use this setting"),
        ("voc-any", "SOLVER.OPTIMIZER=SGD", "set SOLVER.LAYER_DECAY=1.0"),
        ("voc-any", "SOLVER.MOMENTUM=0.8", "AdamW does not use this setting"),
        ("voc-any", "SOLVER.LAYER_DECAY=0", "above 0 and up to 1"),
        ("voc-any", "SOLVER.ADAM_BETAS=(0.9,1.0)", "two numbers from 0"),
        ("voc-any", "MODEL.RESNETS.DEPTH=101", "build_any_backbone does not use this setting"),
        ("voc-any", "SOLVER.AMP.ENABLED=True", "needs a GPU"),
        ("voc-any", "MODEL.NETWORK.ARCH=vit_base", "the weights decide it in this protocol"),
        ("voc-any", "MODEL.PIXEL_MEAN=[0.5,0.5,0.5]", "the weights decide it in this protocol"),
        ("coco-any-frozen", "INPUT.FORMAT=BGR", "the weights decide it in this protocol"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(name: str, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_config(trial(name, override))
