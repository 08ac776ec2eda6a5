"""Every layout to every framework: converted, proved, and the tensors of the source come back bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.backbones import NARROW_VIT, trained_like
from tests.layouts import ASK_PREPROCESSING, RESNET_LAYOUTS, VIT_LAYOUTS
from transfer.tasks.detection.weights import load_backbone_weights
from transfer.weights.backbone import Backbone, load_backbone
from transfer.weights.convert import detectron2
from transfer.weights.convert.convert import RESNET_TARGETS, convert, get_target, targets_of
from transfer.weights.convert.target import key_table

pytestmark = pytest.mark.usefixtures("narrow_vit")

ARCHS = {"resnet18": RESNET_LAYOUTS, NARROW_VIT: VIT_LAYOUTS}
ALL = [(arch, layout) for arch, layouts in ARCHS.items() for layout in layouts]


@pytest.fixture(scope="module")
def states(narrow_vit: None) -> dict[str, dict[str, Tensor]]:
    return {arch: trained_like(arch).state_dict for arch in ARCHS}


def load(layout: str, arch: str, states: dict[str, dict[str, Tensor]], folder: Path) -> Backbone:
    path = folder / "model.pth"
    torch.save(ARCHS[arch][layout](states[arch]), path)
    config = {"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}
    if layout in ASK_PREPROCESSING:
        (folder / "config.json").write_text(json.dumps(config))
    return load_backbone(path, which="student")


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a converted file of any kind."""
    if path.suffix == ".pkl":
        return detectron2.read(path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


@pytest.mark.parametrize(("arch", "layout"), ALL)
def test_layout_converts_with_proof_for_every_framework_and_comes_back_bit_for_bit(
    arch: str, layout: str, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    backbone = load(layout, arch, states, tmp_path)
    for name, target in targets_of(arch).items():
        result = convert(backbone, target, tmp_path, "weights")
        assert result.proof["source"]["format"] == layout
        table = key_table(target, arch)
        back = table.backward(read(result.path))
        assert back.keys() == backbone.state_dict.keys() - table.dropped.keys(), name
        for key, tensor in back.items():
            assert torch.equal(tensor, states[arch][key]), (name, key)


# ---- training from a converted file ----------------------------------------------------------------
# The files of all sources hold the same tensors, as the test above says: one source for each framework is enough.


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("target", [*RESNET_TARGETS, "detectron2-any"])
def test_framework_trains_a_step_from_the_converted_file(
    target: str, arch: str, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    if target not in targets_of(arch):
        pytest.skip(f"{target} itself has no {arch}")
    chosen = get_target(target, arch)
    result = convert(load("official TWIST", arch, states, tmp_path), chosen, tmp_path, "weights")
    model = chosen.load(result.path, result.proof["settings"])
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    images = torch.randn(chosen.image_shapes[0], generator=torch.Generator().manual_seed(0))
    last = list(chosen.stages(model, torch.cat([images, images.flip(3)])).values())[-1]
    loss = last.square().mean()
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    file = read(result.path)
    after = model.state_dict()
    trained = {key: next(value for name, value in after.items() if name.endswith(key)) for key in file}
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())
    moved = [key for key, tensor in trained.items() if key.endswith(".weight") and not torch.equal(tensor, file[key])]
    assert len(moved) > 10


# ---- a detector on a ViT ---------------------------------------------------------------------------


def vit_detector() -> Any:
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    from transfer.tasks.detection import model

    model.register_models()
    cfg = get_cfg()
    model.add_network_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FREEZE_AT = "build_any_backbone", 0
    cfg.MODEL.NETWORK.ARCH, cfg.MODEL.FPN.OUT_CHANNELS = NARROW_VIT, 16
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC, cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 1, 16
    return build_model(cfg)


def test_detector_on_a_vit_takes_every_tensor_and_trains_a_step(
    states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    from detectron2.structures import Boxes, Instances
    from detectron2.utils.events import EventStorage

    backbone = load("DINO", NARROW_VIT, states, tmp_path)
    result = convert(backbone, targets_of(NARROW_VIT)["detectron2-any"], tmp_path, "weights")
    detector = vit_detector()
    load_backbone_weights(detector, result.path)  # raises if a tensor is not where it belongs
    instances = Instances((128, 96))
    instances.gt_boxes = Boxes(torch.tensor([[10.0, 10.0, 60.0, 80.0]]))
    instances.gt_classes = torch.tensor([1])
    image = torch.randint(0, 255, (3, 128, 96), generator=torch.Generator().manual_seed(0))
    with EventStorage(0):
        losses = detector([{"image": image.float(), "instances": instances}])
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    unused = [name for name, tensor in detector.named_parameters() if tensor.requires_grad and tensor.grad is None]
    assert not unused, "parameters without gradient stop distributed training"
