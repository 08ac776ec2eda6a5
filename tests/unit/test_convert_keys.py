"""Key tables are bijections: every key of a network is mapped or dropped by name, and the way back is the identity."""

from __future__ import annotations

import pytest

from transfer.weights.backbone.architecture import COUNTER, RESNETS, VITS, expected_shapes
from transfer.weights.backbone.naming import Naming
from transfer.weights.convert.convert import RESNET_TARGETS, VIT_TARGETS, get_target, targets_of
from transfer.weights.convert.proof import differences
from transfer.weights.convert.target import ConversionError, key_table
from twist_common.errors import UserError

ALL = [(target, arch) for arch in (*RESNETS, *VITS) for target in targets_of(arch)]

# as in the files of Detectron2's model zoo
DETECTRON2_NAMES = {
    "conv1.weight": "stem.conv1.weight",
    "bn1.running_mean": "stem.conv1.norm.running_mean",
    "layer1.0.conv1.weight": "res2.0.conv1.weight",
    "layer1.0.bn3.bias": "res2.0.conv3.norm.bias",
    "layer2.0.downsample.0.weight": "res3.0.shortcut.weight",
    "layer3.0.downsample.1.running_var": "res4.0.shortcut.norm.running_var",
    "layer3.22.conv2.weight": "res4.22.conv2.weight",
    "layer4.2.bn2.weight": "res5.2.conv2.norm.weight",
}


@pytest.mark.parametrize(("target", "arch"), ALL)
def test_every_key_is_mapped_or_dropped_for_a_reason(target: str, arch: str) -> None:
    table = key_table(targets_of(arch)[target], arch)
    assert table.mapped.keys() | table.dropped.keys() == expected_shapes(arch).keys()
    assert not table.mapped.keys() & table.dropped.keys()
    assert all(table.dropped.values())


@pytest.mark.parametrize(("target", "arch"), ALL)
def test_there_and_back_is_the_identity(target: str, arch: str) -> None:
    table = key_table(targets_of(arch)[target], arch)
    state = expected_shapes(arch)
    back = table.backward(table.forward(state))
    assert back == {key: value for key, value in state.items() if key not in table.dropped}
    converted = table.forward(state)
    assert table.forward(back) == converted and len(converted) == len(table.mapped)


@pytest.mark.parametrize("arch", RESNETS)
def test_detectron2_drops_batch_counters_and_nothing_else(arch: str) -> None:
    dropped = key_table(RESNET_TARGETS["detectron2"], arch).dropped
    assert dropped.keys() == {key for key in expected_shapes(arch) if key.endswith(COUNTER)}


@pytest.mark.parametrize("target", ["mmseg", "torchvision", "timm"])
def test_frameworks_with_torchvisions_names_get_every_key_as_it_is(target: str) -> None:
    assert key_table(RESNET_TARGETS[target], "resnet50").mapped == {key: key for key in expected_shapes("resnet50")}


@pytest.mark.parametrize(("key", "name"), DETECTRON2_NAMES.items())
def test_detectron2_names_are_those_of_its_model_zoo(key: str, name: str) -> None:
    assert key_table(RESNET_TARGETS["detectron2"], "resnet101").mapped[key] == name


# as in torchvision's and MMSegmentation's own models
VIT_NAMES = {
    "torchvision": {
        "pos_embed": "encoder.pos_embedding",
        "blocks.3.attn.qkv.bias": "encoder.layers.encoder_layer_3.self_attention.in_proj_bias",
        "blocks.11.mlp.fc2.weight": "encoder.layers.encoder_layer_11.mlp.3.weight",
    },
    "mmseg": {
        "patch_embed.proj.weight": "patch_embed.projection.weight",
        "blocks.3.attn.qkv.bias": "layers.3.attn.attn.in_proj_bias",
        "blocks.11.mlp.fc1.weight": "layers.11.ffn.layers.0.0.weight",
    },
}


@pytest.mark.parametrize("target", VIT_NAMES)
def test_vit_names_are_those_of_the_framework(target: str) -> None:
    mapped = key_table(VIT_TARGETS[target], "deit_small").mapped
    assert {key: mapped[key] for key in VIT_NAMES[target]} == VIT_NAMES[target]


@pytest.mark.parametrize("target", ["detectron2-any", "mmseg"])
def test_dense_frameworks_drop_the_vits_last_norm_and_nothing_else(target: str) -> None:
    assert key_table(get_target(target, "vit_base"), "vit_base").dropped.keys() == {"norm.weight", "norm.bias"}


def test_what_no_feature_map_depends_on_is_dropped_by_its_whole_name() -> None:
    table = key_table(get_target("detectron2-any", "swin_tiny_patch4_window7_224"), "swin_tiny_patch4_window7_224")
    assert table.dropped.keys() == {"norm.weight", "norm.bias"}
    name = "layers.1.downsample.norm.weight"
    assert table.mapped[name] == f"network.{name}"


@pytest.mark.parametrize("target", ["torchvision", "mmseg"])
def test_vit_key_without_a_row_is_an_error(target: str) -> None:
    with pytest.raises(ConversionError, match=r"no row for 'blocks\.0\.ls1\.gamma'"):
        VIT_TARGETS[target].rename("blocks.0.ls1.gamma")


def test_key_without_a_row_is_an_error() -> None:
    with pytest.raises(ConversionError, match=r"no row for 'layer1\.0\.se\.weight'"):
        RESNET_TARGETS["detectron2"].rename("layer1.0.se.weight")


def test_forward_refuses_a_key_that_is_in_neither_table() -> None:
    with pytest.raises(KeyError):
        key_table(RESNET_TARGETS["detectron2"], "resnet18").forward({"fc.weight": 0})


def test_table_that_gives_two_tensors_one_name_is_refused() -> None:
    import dataclasses

    merging = dataclasses.replace(
        RESNET_TARGETS["mmseg"], naming=Naming((("layer2.{p}", "layer1.{p}"), ("{p}", "{p}")))
    )
    with pytest.raises(ConversionError, match="the same name"):
        key_table(merging, "resnet18")


def test_unknown_target_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"did you mean 'mmseg-any'.* known are detectron2, detectron2-any, mmseg,"):
        get_target("mmsegmentation", "resnet18")


@pytest.mark.parametrize("target", ["torchvision", "timm"])
def test_architecture_that_a_framework_lacks_is_refused_with_those_that_have_it(target: str) -> None:
    with pytest.raises(UserError, match=rf"{target} has no resnet50w2.*64 channels.*convert it for detectron2, mmseg"):
        get_target(target, "resnet50w2")


@pytest.mark.parametrize(
    ("proved", "used", "expected"),
    [
        ({"mean": [123.675, 116.28]}, {"mean": (255 * 0.485, 255 * 0.456)}, []),
        ({"mean": [123.675]}, {"mean": [123.7]}, ["mean: [123.675] -> [123.7]"]),
        ({"mean": [1.0, 2.0]}, {"mean": [1.0]}, ["mean: [1.0, 2.0] -> [1.0]"]),
        ({"depth": 50}, {"depth": 50, "dropout": 0.5}, ["dropout: unset -> 0.5"]),
        ({"style": "pytorch", "depth": 50}, {"depth": 50.0}, ["style: pytorch -> unset"]),
    ],
)
def test_settings_are_compared_by_value_and_missing_ones_named(
    proved: dict[str, object], used: dict[str, object], expected: list[str]
) -> None:
    assert differences(proved, used) == expected
