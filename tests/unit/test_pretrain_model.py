"""Backbones, head and the passage of crops through them."""

import pytest
import torch
import torchvision

from common.errors import UserError
from pretrain.model import BACKBONES, ProjectionHead, SmallMapConv2d, TwistModel, build_backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_keys_are_torchvisions_without_the_classifier(name: str) -> None:
    with torch.device("meta"):
        ours = build_backbone(name).state_dict()
        theirs = getattr(torchvision.models, name)().state_dict()
    assert list(ours) == [key for key in theirs if not key.startswith("fc.")]


def test_stages_and_pooled_features_are_torchvisions() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("resnet18").double().eval()
    reference = torchvision.models.resnet18().double().eval()
    reference.load_state_dict(backbone.state_dict(), strict=False)
    reference.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64).double()
    torch.testing.assert_close(backbone(images), reference(images), rtol=1e-12, atol=1e-12)
    shapes = {name: tuple(maps.shape[1:]) for name, maps in backbone.forward_stages(images).items()}
    assert shapes == {
        "stem": (64, 16, 16), "res2": (64, 16, 16), "res3": (128, 8, 8), "res4": (256, 4, 4), "res5": (512, 2, 2),
    }  # fmt: skip
    assert backbone.num_features == 512


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        build_backbone("resnet5")


def test_crops_of_one_size_share_a_pass_and_keep_their_order() -> None:
    torch.manual_seed(0)
    model = TwistModel(build_backbone("resnet18"), ProjectionHead(512, 8, 5)).eval()
    passes: list[int] = []
    model.backbone.register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))
    views = [torch.randn(3, 3, size, size) for size in (32, 24, 32, 24, 24)]
    logits = model(views)
    assert logits.shape == (5, 3, 5) and passes == [6, 9]
    for view, expected in zip(views, logits, strict=True):
        torch.testing.assert_close(model([view])[0], expected, rtol=1e-4, atol=1e-5)


def test_nbs_statistics_mix_all_views() -> None:
    torch.manual_seed(0)
    logits = ProjectionHead(6, 8, 5).train()(torch.randn(40, 6))
    torch.testing.assert_close(logits.mean(dim=0), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(logits.var(dim=0, unbiased=False), torch.ones(5), rtol=0, atol=2e-2)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 2), (5, 2)])
def test_small_maps_are_convolved_like_all_others(size: int, stride: int) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 6, 3, stride, 1, bias=False).double()
    ours = SmallMapConv2d.like(conv)
    assert ours.weight is conv.weight
    inputs = torch.randn(3, 4, size, size).double()
    results = []
    for module in (conv, ours):
        images = inputs.clone().requires_grad_()
        output = module(images)
        grads = torch.autograd.grad(output.square().sum(), [images, conv.weight])
        results.append([output, *grads])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
