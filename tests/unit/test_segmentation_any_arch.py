"""Segmentation protocols for any architecture: what they leave to the weights. No model is built."""

from __future__ import annotations

from typing import Any

import pytest

from transfer import benchmarks
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import dump, judged, load_protocol, resolve_config
from transfer.weights.backbone.types import IMAGENET, Preprocessing
from transfer.weights.convert.mmseg_any import settings
from twist_common.errors import UserError

NAMES = ("seg-voc", "seg-cityscapes")
HALVES = Preprocessing("BGR", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def fitted(name: str, arch: str, *overrides: str, preprocessing: Preprocessing = IMAGENET) -> Any:
    config, _ = resolve_config(load_protocol(benchmarks.get(name).config_path), overrides)
    fit(config, arch, settings(arch, preprocessing))
    return config


@pytest.mark.parametrize("name", [*NAMES, "seg-ade20k"])
@pytest.mark.parametrize("option", ["", "-frozen"])
def test_data_test_and_iterations_are_those_of_the_paper_protocol(name: str, option: str) -> None:
    rows = [benchmarks.get(each) for each in (name + option, f"{name}-any{option}")]
    paper, any_arch = (resolve_config(load_protocol(row.config_path))[0] for row in rows)
    assert [row.arch for row in rows] == ["resnet50", None]
    for section in ("num_images", "train_dataloader", "test_dataloader", "test_evaluator", "train_cfg", "test_cfg"):
        assert any_arch[section] == paper[section]
    for part in ("decode_head", "data_preprocessor"):
        different = {key for key, value in any_arch.model[part].items() if value != paper.model[part][key]}
        assert different <= {"in_channels", "mean", "std", "bgr_to_rgb"}
    assert any_arch.model.test_cfg == paper.model.test_cfg
    if option:
        assert (any_arch.optim_wrapper, any_arch.param_scheduler) == (paper.optim_wrapper, paper.param_scheduler)
        assert any_arch.model.backbone.frozen and "by_kind" not in any_arch


def test_both_data_sets_have_one_schedule_but_for_its_length() -> None:
    voc, cityscapes = (resolve_config(load_protocol(benchmarks.get(f"{name}-any").config_path))[0] for name in NAMES)
    assert voc.optim_wrapper == cityscapes.optim_wrapper and voc.by_kind == cityscapes.by_kind
    assert dict(voc.optim_wrapper.optimizer) == {
        "type": "AdamW", "lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 0.05
    }  # fmt: skip
    for config, end in ((voc, 20000), (cityscapes, 40000)):
        assert [(each.type, each.begin, each.end) for each in config.param_scheduler] == [
            ("PolyLR", 1500, end), ("LinearLR", 0, 1500)
        ]  # fmt: skip


@pytest.mark.parametrize("arch", ["resnet18", "resnet50w2", "convnext_tiny", "swin_tiny_patch4_window7_224"])
def test_a_network_with_a_pyramid_goes_through_fpn(arch: str) -> None:
    config = fitted("seg-voc-any", arch)
    width = {"resnet18": 64, "resnet50w2": 512}.get(arch, 96)
    assert config.model.neck == {
        "type": "FPN", "in_channels": [width, 2 * width, 4 * width, 8 * width], "out_channels": 256, "num_outs": 4
    }  # fmt: skip
    assert config.model.decode_head.in_channels == [256] * 4
    assert (config.model.backbone.arch, config.model.backbone.drop_path) == (arch, 0.0)
    assert config.optim_wrapper.paramwise_cfg.layer_decay == 0.9
    assert config.model.data_preprocessor.size == (512, 512) and "test_cfg" not in config.model.data_preprocessor
    frozen = fitted("seg-voc-any-frozen", arch).model
    assert (frozen.neck, frozen.decode_head.in_channels) == (None, [width, 2 * width, 4 * width, 8 * width])


@pytest.mark.parametrize(
    ("arch", "width", "rescales", "patch", "crops"),
    [
        ("deit_small", 384, [4, 2, 1, 0.5], 16, (512, 784)),
        ("vit_base", 768, [4, 2, 1, 0.5], 16, (512, 784)),
        ("vit_small_patch14_reg4_dinov2", 384, [4, 2, 1, 0.5], 14, (518, 770)),
        ("vit_base_patch8_224", 768, [2, 1, 0.5, 0.25], 8, (512, 776)),
        ("vit_base_patch32_224", 768, [4, 2, 1, 0.5], 32, (512, 800)),
    ],
)
def test_the_maps_of_a_plain_network_become_a_pyramid_over_whole_patches(
    arch: str, width: int, rescales: list[float], patch: int, crops: tuple[int, int]
) -> None:
    for name, crop in zip(NAMES, crops, strict=True):
        config = fitted(f"{name}-any", arch)
        model = config.model
        assert (model.neck.type, model.neck.embed_dim, model.neck.rescales) == ("Feature2Pyramid", width, rescales)
        assert model.decode_head.in_channels == [width] * 4
        assert (model.backbone.drop_path, config.optim_wrapper.paramwise_cfg.layer_decay) == (0.1, 0.65)
        # MMSegmentation pads images and masks alike, and takes the padding off its predictions
        assert model.data_preprocessor.size == (crop, crop)
        assert model.data_preprocessor.test_cfg == {"size_divisor": patch}
        assert model.test_cfg.get("crop_size", (crop, crop)) == (crop, crop)
        assert fitted(f"{name}-any-frozen", arch).model.decode_head.in_channels == [width] * 4


@pytest.mark.parametrize(
    ("arch", "channels", "crop"),
    [
        ("vit_small_patch14_reg4_dinov2", [384] * 4, 518),
        ("deit_small", [384] * 4, 512),
        ("resnet18", [64, 128, 256, 512], 512),
    ],
)
@pytest.mark.parametrize("base", ["seg-voc", "seg-cityscapes", "seg-ade20k"])
def test_a_linear_probe_reads_the_last_map_or_the_last_four(
    base: str, arch: str, channels: list[int], crop: int
) -> None:
    for name, read in ((f"{base}-linear", channels[-1:]), (f"{base}-linear4", channels)):
        model = fitted(name, arch).model
        assert (model.neck, model.decode_head.in_channels) == (None, read)
        assert model.backbone.frozen and model.backbone.last_blocks
        assert model.data_preprocessor.size == model.test_cfg.crop_size == (crop, crop)


def test_a_linear_probe_is_the_same_on_all_data_but_for_classes_and_images() -> None:
    probes = [load_protocol(benchmarks.get(f"{name}-linear").config_path) for name in (*NAMES, "seg-ade20k")]
    for section in ("optim_wrapper", "param_scheduler", "train_cfg"):
        assert probes[0][section] == probes[1][section] == probes[2][section]
    assert {probe.train_dataloader.batch_size for probe in probes} == {16}
    heads = [{key: value for key, value in probe.model.decode_head.items() if key != "num_classes"} for probe in probes]
    assert heads[0] == heads[1] == heads[2]


def test_images_are_fed_as_the_weights_expect_and_that_is_on_protocol() -> None:
    path = benchmarks.get("seg-voc-any").config_path
    preprocessor = fitted("seg-voc-any", "deit_small", preprocessing=HALVES).model.data_preprocessor
    assert (preprocessor.mean, preprocessor.std, preprocessor.bgr_to_rgb) == ([127.5] * 3, [127.5] * 3, False)
    config, difference = resolve_config(load_protocol(path))
    assert judged(config, load_protocol(path), difference).standing == "on protocol"


def test_what_the_user_sets_stays_and_is_off_protocol() -> None:
    overrides = (
        "model.data_preprocessor.mean=[1.0,2.0,3.0]",
        "by_kind.plain.drop_path=0.3",
        "by_kind.pyramid.neck.out_channels=64",
    )
    path = benchmarks.get("seg-voc-any").config_path
    config, difference = resolve_config(load_protocol(path), overrides)
    assert judged(config, load_protocol(path), difference).standing == "off protocol"
    assert len(difference) == 3
    assert fitted("seg-voc-any", "deit_small", *overrides).model.data_preprocessor.mean == [1.0, 2.0, 3.0]
    assert fitted("seg-voc-any", "deit_small", *overrides).model.backbone.drop_path == 0.3
    assert fitted("seg-voc-any", "resnet18", *overrides).model.decode_head.in_channels == [64] * 4


def test_a_network_of_one_size_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(UserError, match="takes images of 224x224 px only, the protocol's are 512x512"):
        fitted("seg-voc-any", "beit_base_patch16_224")


def test_a_protocol_for_one_architecture_is_left_as_it_is() -> None:
    config, _ = resolve_config(load_protocol(benchmarks.get("seg-voc").config_path))
    assert dump(fitted("seg-voc", "resnet50")) == dump(config)
