"""Backbones, head and the passage of crops through them."""

import pytest
import timm
import torch
import torchvision

from pretrain.distributed import Process
from pretrain.model import BACKBONES, Backbone, build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.model.norms import BunchNorm, assign_bunches
from pretrain.model.resnet import SmallMapConv2d
from pretrain.model.twist_model import TwistModel
from pretrain.model.vit import ViTBackbone
from twist_common.errors import UserError

PUBLISHED_MILLIONS = {"resnet50": 24, "resnet50w2": 94, "deit_small": 21, "vit_base": 86}  # the paper's table 3


def on_meta(name: str) -> Backbone:
    """The architecture alone, in milliseconds."""
    with torch.device("meta"):
        return build_backbone(name)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
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


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [("resnet50", 23_508_032), ("resnet50w2", 93_907_072), ("deit_small", 21_665_664), ("vit_base", 85_798_656)],
)
def test_sizes_are_the_papers(name: str, num_parameters: int) -> None:
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == num_parameters
    # Within one, since the paper rounds three of them to the nearest million and cuts DeiT-S off.
    assert abs(num_parameters / 1e6 - PUBLISHED_MILLIONS[name]) < 1


def test_resnet50w2_doubles_every_width_and_nothing_else() -> None:
    single, double = (on_meta(name).state_dict() for name in ("resnet50", "resnet50w2"))
    assert list(double) == list(single)
    for key, tensor in single.items():
        num_widths = min(tensor.ndim, 2) - (key == "conv1.weight")  # input and output, if both are channels
        assert double[key].numel() == tensor.numel() * 2**num_widths, key
    assert on_meta("resnet50w2").num_features == 4096


@pytest.mark.parametrize(
    ("name", "theirs"), [("deit_small", "deit_small_patch16_224"), ("vit_base", "vit_base_patch16_224")]
)
def test_vit_is_timms_without_the_classifier(name: str, theirs: str) -> None:
    with torch.device("meta"):
        reference = timm.create_model(theirs, num_classes=0).state_dict()
    shapes = {key: tensor.shape for key, tensor in on_meta(name).state_dict().items()}
    assert shapes == {key: tensor.shape for key, tensor in reference.items()}


def test_vit_feature_is_timms_class_token_and_stages_are_its_patches() -> None:
    torch.manual_seed(0)
    backbone = small_vit(depth=4).double().eval()
    tokens = backbone.forward_features(images := torch.randn(2, 3, 64, 96).double())
    torch.testing.assert_close(backbone(images), tokens[:, 0], rtol=0, atol=0)
    stages = backbone.forward_stages(images)
    assert {name: tuple(maps.shape) for name, maps in stages.items()} == {
        f"block{depth}": (2, 24, 4, 6) for depth in (1, 2, 3, 4)
    }
    last = backbone.norm(stages["block4"].flatten(2).transpose(1, 2))
    torch.testing.assert_close(last, tokens[:, 1:], rtol=1e-12, atol=1e-12)


def test_vit_takes_crops_of_both_sizes() -> None:
    torch.manual_seed(0)
    model = TwistModel(small_vit(depth=2), ProjectionHead(24, 8, 5, activation="gelu"))
    views = [torch.randn(3, 3, size, size) for size in (224, 224, 96)]
    assert model(views).shape == (3, 3, 5)


def test_drop_path_rises_to_its_rate_in_the_last_block() -> None:
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in small_vit(depth=3, drop_path=0.1).blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1])


def test_resnets_refuse_drop_path() -> None:
    with pytest.raises(UserError, match="resnet18 is no ViT"):
        build_backbone("resnet18", drop_path=0.1)


def small_vit(*, depth: int, drop_path: float = 0.0) -> ViTBackbone:
    return ViTBackbone(num_features=24, num_heads=2, depth=depth, drop_path=drop_path)


def test_every_backbone_is_built_by_its_name() -> None:
    assert {"resnet18", "resnet34", "resnet50", "resnet101", *PUBLISHED_MILLIONS} == set(BACKBONES)
    assert {name: on_meta(name).num_features for name in PUBLISHED_MILLIONS} == {
        "resnet50": 2048, "resnet50w2": 4096, "deit_small": 384, "vit_base": 768,
    }  # fmt: skip


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


def test_nbs_bunches_of_images_keep_all_their_views() -> None:
    torch.manual_seed(0)
    model = TwistModel(build_backbone("resnet18"), ProjectionHead(512, 8, 5)).train()
    assert isinstance(model.head.nbs, BunchNorm)
    assign_bunches(model.head.nbs, 4, 8, Process(torch.device("cpu")))
    logits = model([torch.randn(8, 3, size, size) for size in (32, 32, 24)])
    for bunch in logits.split(4, dim=1):
        torch.testing.assert_close(bunch.mean(dim=(0, 1)), torch.zeros(5), rtol=0, atol=1e-5)


def test_gelu_head_is_drawn_as_the_vits_are() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(64, 256, 32, activation="gelu")
    linears = [layer for layer in head.mlp if isinstance(layer, torch.nn.Linear)]
    assert [type(layer) for layer in head.mlp].count(torch.nn.GELU) == 2 and len(linears) == 3
    for linear in linears:
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05) and not linear.bias.any()


def test_head_without_nbs_ends_with_the_linear_layer() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(6, 8, 5, nbs=False)
    features = torch.randn(40, 6)
    torch.testing.assert_close(head(features, 2), head.mlp(features), rtol=0, atol=0)
    assert not [key for key in head.state_dict() if key.startswith("nbs")]


def test_head_keys_are_those_of_earlier_checkpoints() -> None:
    linears = [f"mlp.{layer}.{name}" for layer in (0, 3, 6) for name in ("weight", "bias")]
    norms = [f"mlp.{layer}.{name}" for layer in (1, 4) for name in ("weight", "bias")]
    buffers = [f"{norm}.{name}" for norm in ("mlp.1", "mlp.4", "nbs") for name in ("running_mean", "running_var")]
    counters = [f"{norm}.num_batches_tracked" for norm in ("mlp.1", "mlp.4", "nbs")]
    assert set(ProjectionHead(6, 8, 5).state_dict()) == {*linears, *norms, *buffers, *counters}


def test_unknown_activation_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'gelu'"):
        ProjectionHead(6, 8, 5, activation="gelus")


def test_views_compile_into_one_graph() -> None:
    model = TwistModel(small_vit(depth=1), ProjectionHead(24, 8, 5))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    views = [torch.randn(2, 3, size, size) for size in (64, 32, 64)]
    torch.testing.assert_close(compiled(views), model(views))


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
