"""What Hugging Face's config.json says, by rule; and what is refused or asked for because nothing says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.hugging_face import layouts, shapes_of, state_of, write_folder
from transfer.reading import Reading
from transfer.weights.backbone import load_backbone
from transfer.weights.backbone.families import BUFFER
from transfer.weights.backbone.hugging_face_config import OtherNetworkError, arch_of
from transfer.weights.backbone.network import build_network
from transfer.weights.backbone.timm_network import Variant, variant_of
from transfer.weights.backbone.types import UNSCALED
from transfer.weights.convert.convert import convert, get_target
from twist_common.errors import UserError

SAID = Reading(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
GIANT = {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
HUGE = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16}
SMALL = {"hidden_size": 384, "num_attention_heads": 6}

# the settings in which these repositories' config.json differ from the defaults of their classes
PUBLISHED: dict[str, tuple[dict[str, Any], str]] = {
    "google/vit-base-patch16-224-in21k": ({"model_type": "vit"}, "vit_base_patch16_224-eps1e-12"),
    "google/vit-large-patch32-384": (
        {"model_type": "vit", **LARGE, "patch_size": 32, "image_size": 384},
        "vit_large_patch32_384-eps1e-12",
    ),
    "google/vit-huge-patch14-224-in21k": (
        {"model_type": "vit", **HUGE, "patch_size": 14},
        "vit_huge_patch14_224-eps1e-12",
    ),
    "facebook/dino-vits8": ({"model_type": "vit", **SMALL, "patch_size": 8}, "vit_small_patch8_224-eps1e-12"),
    "facebook/vit-mae-huge": ({"model_type": "vit_mae", **HUGE, "patch_size": 14}, "vit_huge_patch14_224-eps1e-12"),
    "facebook/vit-msn-small": ({"model_type": "vit_msn", **SMALL}, "deit_small"),
    "facebook/dinov2-base": ({"model_type": "dinov2", "image_size": 518}, "vit_base_patch14_dinov2"),
    "facebook/dinov2-giant": (
        {"model_type": "dinov2", **GIANT, "image_size": 518, "use_swiglu_ffn": True},
        "vit_giant_patch14_dinov2",
    ),
    "facebook/dinov2-with-registers-large": (
        {"model_type": "dinov2_with_registers", **LARGE, "image_size": 518, "patch_size": 14},
        "vit_large_patch14_reg4_dinov2",
    ),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": (
        {"model_type": "dinov3_vit", "hidden_size": 768, "num_attention_heads": 12, "num_register_tokens": 4},
        "vit_base_patch16_dinov3_qkvb",
    ),
    "facebook/dinov3-vith16plus-pretrain-lvd1689m": (
        {
            "model_type": "dinov3_vit",
            **HUGE,
            "num_attention_heads": 20,
            "use_gated_mlp": True,
            "hidden_act": "silu",
        },
        "vit_huge_plus_patch16_dinov3_qkvb",
    ),
    "facebook/dinov3-vit7b16-pretrain-lvd1689m": (
        {
            "model_type": "dinov3_vit",
            "hidden_size": 4096,
            "num_hidden_layers": 40,
            "num_attention_heads": 32,
            "use_gated_mlp": True,
            "hidden_act": "silu",
            "query_bias": False,
            "value_bias": False,
        },
        "vit_7b_patch16_dinov3",
    ),
    "facebook/convnext-xlarge-224-22k": (
        {"model_type": "convnext", "depths": [3, 3, 27, 3], "hidden_sizes": [256, 512, 1024, 2048]},
        "convnext_xlarge-lasteps1e-12",
    ),
    "facebook/dinov3-convnext-small-pretrain-lvd1689m": (
        {"model_type": "dinov3_convnext", "depths": [3, 3, 27, 3], "hidden_sizes": [96, 192, 384, 768]},
        "convnext_small",
    ),
    "microsoft/swin-base-patch4-window12-384": (
        {
            "model_type": "swin",
            "embed_dim": 128,
            "depths": [2, 2, 18, 2],
            "num_heads": [4, 8, 16, 32],
            "window_size": 12,
            "image_size": 384,
        },
        "swin_base_patch4_window12_384",
    ),
    "microsoft/resnet-152": ({"model_type": "resnet", "depths": [3, 8, 36, 3]}, "resnet152"),
    "microsoft/resnet-34": ({"model_type": "resnet", "layer_type": "basic"}, "resnet34"),
    "a ViT-B that was trained with timm's epsilon": ({"model_type": "vit", "layer_norm_eps": 1e-6}, "vit_base"),
}


@pytest.mark.parametrize("repository", PUBLISHED)
def test_networks_follow_from_configs(repository: str) -> None:
    config, arch = PUBLISHED[repository]
    assert arch_of(config, {}) == arch


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "heads": ({"model_type": "vit", **SMALL, "num_attention_heads": 12}, r"a vit of the sizes 384, 12, 12"),
    "activation": ({"model_type": "vit", "hidden_act": "gelu_new"}, r"whose hidden_act is 'gelu_new', not 'gelu'"),
    "gate": ({"model_type": "dinov3_vit", "use_gated_mlp": True}, r"whose hidden_act is 'gelu', not 'silu'"),
    "frequencies": ({"model_type": "dinov3_vit", "rope_theta": 10000.0}, r"whose rope_theta is 10000\.0, not 100\.0"),
    "stride": ({"model_type": "resnet", "downsample_in_bottleneck": True}, r"whose downsample_in_bottleneck is True"),
    "pool": ({"model_type": "resnet", "downsample_in_first_stage": True}, r"whose downsample_in_first_stage is True"),
    "window": ({"model_type": "swin", "window_size": 6, "image_size": 192}, r"called swin_tiny_patch4_window6_192"),
    "patch": ({"model_type": "vit", "patch_size": 20}, r"called vit_base_patch20_224"),
    "epsilon": ({"model_type": "dinov2", "layer_norm_eps": "small"}, r"whose layer_norm_eps is 'small'"),
    "nonsense": ({"model_type": "convnext", "depths": {"a": 1}}, r"a convnext of the sizes \{'a': 1\}, 96"),
    "family": ({"model_type": "beit"}, r"a beit \(known are vit, vit_mae, .*resnet\)"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_of_the_same_tensors_are_named(name: str) -> None:
    config, message = OTHERS[name]
    with pytest.raises(OtherNetworkError, match=message):
        arch_of(config, {})


def layout_of(name: str) -> dict[str, Any]:
    return layouts()[name]


def state(name: str) -> dict[str, Tensor]:
    return state_of(shapes_of(layout_of(name)["tensors"]))


def test_what_a_config_leaves_out_is_read_off_the_tensors(tmp_path: Path) -> None:
    small = {"model_type": "dinov2", "num_attention_heads": 6}
    path = write_folder(layout_of("dinov2") | {"config": small}, tmp_path)
    assert load_backbone(path).arch == "vit_small_patch14_dinov2-70px"
    path = write_folder(layout_of("resnet") | {"config": {"model_type": "resnet", "depths": [2, 2, 2, 2]}}, tmp_path)
    assert load_backbone(path).arch == "resnet18"


def test_shards_their_index_and_the_file_are_the_same_checkpoint(tmp_path: Path) -> None:
    single = load_backbone(write_folder(layout_of("vit"), tmp_path) / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    files = {key: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, key in enumerate(tensors)}
    for file in set(files.values()):
        save_file({key: tensors[key] for key in tensors if files[key] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    for path in (tmp_path, index):
        sharded = load_backbone(path)
        assert sharded.arch == single.arch
        assert all(torch.equal(value, single.state_dict[key]) for key, value in sharded.state_dict.items())


def test_queries_keys_and_values_are_in_this_order_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    theirs = state("vit")
    ours = load_backbone(write_folder(layout_of("vit"), tmp_path)).state_dict
    attention = "vit.encoder.layer.3.attention.attention"
    parts = [theirs[f"{attention}.{name}.weight"] for name in ("query", "key", "value")]
    assert torch.equal(ours["blocks.3.attn.qkv.weight"], torch.cat(parts))
    assert torch.equal(ours["blocks.3.mlp.fc2.bias"], theirs["vit.encoder.layer.3.output.dense.bias"])
    assert torch.equal(ours["norm.weight"], theirs["vit.layernorm.weight"])


def test_a_file_alone_is_asked_for_its_config(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(state("dinov2"), path)
    with pytest.raises(UserError, match=r"\(Hugging Face DINOv2\) does not show its heads.*put the config\.json"):
        load_backbone(path, reading=SAID)
    assert load_backbone(path, arch="vit_small_patch14_dinov2-70px", reading=SAID).arch.endswith("-70px")
    (tmp_path / "config.json").write_text('{"model_type": "dinov2"}')  # 384 wide, where 12 heads are of a width of 768
    with pytest.raises(UserError, match=r"does not show its heads"):
        load_backbone(path, reading=SAID)
    save_file(state("resnet"), path)
    (tmp_path / "config.json").unlink()
    assert load_backbone(path, reading=SAID).arch == "resnet18"


def test_a_training_codes_wrapping_is_taken_off(tmp_path: Path) -> None:
    tensors = state("vit")
    write_folder(layout_of("vit"), tmp_path)
    whole = load_backbone(tmp_path)
    for entry, prefix in (("state_dict", "model."), ("model", "module."), ("model_state_dict", "_orig_mod.module.")):
        path = tmp_path / "last.ckpt"
        torch.save({entry: {prefix + key: value for key, value in tensors.items()}, "epoch": 3}, path)
        backbone = load_backbone(path)
        assert (backbone.source_format, backbone.arch) == (whole.source_format, whole.arch)
        assert all(torch.equal(value, whole.state_dict[key]) for key, value in backbone.state_dict.items())
        assert backbone.dropped == {f"{prefix}classifier.{name}": "classifier" for name in ("bias", "weight")}
    torch.save({"state_dict": tensors, "model": tensors}, path)
    with pytest.raises(UserError):
        load_backbone(path)


def test_a_folder_without_a_preprocessor_is_asked_for_mean_and_deviation(tmp_path: Path) -> None:
    path = write_folder(layout_of("resnet"), tmp_path, scaling=None)
    with pytest.raises(UserError, match=r"differ in it; give --mean and --std, or put the preprocessor_config\.json"):
        load_backbone(path)
    assert load_backbone(path, reading=SAID).preprocessing.std == (0.25, 0.25, 0.25)


def test_images_that_are_not_scaled_or_scaled_in_another_way_are_known_as_such(tmp_path: Path) -> None:
    path = write_folder(layout_of("resnet"), tmp_path, scaling={"do_normalize": False, "image_mean": [0.5] * 3})
    assert load_backbone(path).preprocessing == UNSCALED
    halves = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    for other in ({"rescale_factor": 1 / 127.5}, {"do_rescale": False}):
        with pytest.raises(UserError, match="--mean and --std"):
            load_backbone(write_folder(layout_of("resnet"), tmp_path, scaling=halves | other))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("vit.encoder.layer.5.attention.attention.key.weight"), r"lacks blocks\.5\.attn\.qkv\.weight"),
        (lambda s: s.update({"vit.encoder.layer.0.lambda_1": torch.ones(192)}), r"has .*lambda_1, which a"),
        (
            lambda s: s.update({"embeddings.cls_token": torch.ones(1, 1, 192)}),
            r"has the unknown key 'embeddings\.cls_token'",
        ),
        (lambda s: s.update({"vit.layernorm.weight": torch.ones(8)}), r"norm\.weight has shape \[8\]"),
        (lambda s: s.update({"vit.embeddings.position_embeddings": torch.ones(8)}), r"pos_embed has shape \[8\]"),
        (
            lambda s: s.update({"vit.encoder.layer.0.attention.attention.key.weight": torch.ones(192, 8)}),
            r"lacks blocks\.0\.attn\.qkv\.weight",
        ),
        (lambda s: s.update({"vit.cls_token": torch.ones(8)}), r"has cls_token under two names"),
    ],
)
def test_no_tensor_is_missing_or_left_over(change: Any, message: str, tmp_path: Path) -> None:
    tensors = state("vit")
    change(tensors)
    write_folder(layout_of("vit"), tmp_path)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=message):
        load_backbone(tmp_path)


def test_the_index_of_windows_that_old_files_of_swin_have_is_dropped(tmp_path: Path) -> None:
    key = "swin.encoder.layers.0.blocks.1.attention.self.relative_position_index"
    write_folder(layout_of("swin"), tmp_path)
    save_file(state("swin") | {key: torch.zeros(49, 49, dtype=torch.int64)}, tmp_path / "model.safetensors")
    assert load_backbone(tmp_path).dropped[key] == BUFFER


def test_a_config_of_another_network_is_refused(tmp_path: Path) -> None:
    layout = layout_of("dinov2")
    path = write_folder(layout | {"config": layout["config"] | {"image_size": 518}}, tmp_path)
    with pytest.raises(UserError, match=r"pos_embed has shape \[1, 26, 384\], a vit_small_patch14_dinov2 has"):
        load_backbone(path)
    path = write_folder(layout | {"config": layout["config"] | {"hidden_act": "relu"}}, tmp_path)
    with pytest.raises(UserError, match=r"config\.json says .* a dinov2 whose hidden_act is 'relu', not 'gelu'"):
        load_backbone(path)
    with pytest.raises(UserError, match=r"a vit_base_patch16_224, but .* says vit_small_patch14_dinov2-70px"):
        load_backbone(write_folder(layout, tmp_path), arch="vit_base_patch16_224")


@pytest.mark.parametrize(
    "variant",
    [
        Variant("convnext_tiny"),
        Variant("vit_base_patch16_224.mae", 96, 1e-12),
        Variant("test", last_epsilon=1e-5),
    ],
)
def test_a_variant_is_its_name(variant: Variant) -> None:
    assert variant_of(f"timm:{variant.name}") == variant_of(variant.name) == variant


def test_a_variant_is_built_and_converted_as_its_name_says(tmp_path: Path) -> None:
    backbone = load_backbone(write_folder(layout_of("vit"), tmp_path))
    network = build_network(backbone.arch)
    assert {module.eps for module in network.modules() if isinstance(module, torch.nn.LayerNorm)} == {1e-12}
    result = convert(backbone, get_target("timm", backbone.arch), tmp_path, "weights")
    model = result.proof["model"] if "model" in result.proof else result.proof["settings"]
    assert {"img_size": 96, "norm_eps": 1e-12}.items() <= model.items()
