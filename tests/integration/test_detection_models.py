"""Every detection config, from its YAML to a step of training on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from transfer import benchmarks
from transfer.detection.config import protocol_config
from transfer.detection.trainer import make_trainer, seeded_model

SIZE = 64


def scene(cfg: Any, seed: int) -> dict[str, object]:
    """A small image with two objects, as the mapper gives it to the model."""
    from detectron2.structures import BitMasks, Boxes, Instances

    random = np.random.default_rng(seed)
    instances = Instances((SIZE, SIZE))
    instances.gt_boxes = Boxes(torch.tensor([[4.0, 4.0, 36.0, 40.0], [30.0, 20.0, 60.0, 60.0]]))
    instances.gt_classes = torch.tensor([0, cfg.MODEL.ROI_HEADS.NUM_CLASSES - 1])
    if cfg.MODEL.MASK_ON:
        cfg.INPUT.MASK_FORMAT = "bitmask"
        masks = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
        masks[0, 4:40, 4:36] = masks[1, 20:60, 30:60] = True
        instances.gt_masks = BitMasks(masks)
    image = torch.from_numpy(random.integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8))
    return {"image": image, "height": SIZE, "width": SIZE, "instances": instances}


@pytest.mark.parametrize("name", ["voc", "coco", "demo-voc", "demo-coco"])
def test_config_builds_and_takes_a_training_step(name: str) -> None:
    from detectron2.solver import build_optimizer

    torch.set_num_threads(1)
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16  # four convolutions on 512 regions take a minute
    model = seeded_model(cfg, seed=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trainer = make_trainer(cfg, model, build_optimizer(cfg, model), [[scene(cfg, 1), scene(cfg, 2)]])
    trainer.train(0, 1)  # raises if the loss is not finite

    losses = {key: value for key, (value, _) in trainer.storage.latest().items() if key.startswith("loss_")}
    expected = {"loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"}
    assert losses.keys() == expected | ({"loss_mask"} if cfg.MODEL.MASK_ON else set())
    assert all(np.isfinite(value) for value in losses.values())
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert "backbone.bottom_up.stem.conv1.weight" in changed, "nothing is frozen"
    assert "backbone.bottom_up.stem.conv1.norm.running_mean" in changed, "batch statistics are learned"


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_paper_models_have_the_published_heads(name: str) -> None:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    keys = seeded_model(cfg, seed=0).state_dict()
    assert {f"roi_heads.box_head.conv{i}.norm.weight" for i in (1, 2, 3, 4)} <= keys.keys()
    assert "roi_heads.box_head.fc1.weight" in keys and "roi_heads.box_head.fc2.weight" not in keys
    assert {
        f"backbone.fpn_{kind}{i}.norm.weight" for kind in ("lateral", "output") for i in (2, 3, 4, 5)
    } <= keys.keys()
    assert ("roi_heads.mask_head.mask_fcn1.norm.weight" in keys) == (name == "coco")


def test_heads_are_the_same_for_the_same_seed_whatever_was_drawn_before() -> None:
    cfg = protocol_config(benchmarks.get("demo-coco").config_path, device="cpu")
    first = seeded_model(cfg, seed=3).state_dict()
    torch.rand(7)
    second, other = seeded_model(cfg, seed=3).state_dict(), seeded_model(cfg, seed=4).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(
        first["roi_heads.box_predictor.cls_score.weight"], other["roi_heads.box_predictor.cls_score.weight"]
    )
