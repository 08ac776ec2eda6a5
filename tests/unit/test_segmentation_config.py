"""Segmentation protocols, overrides and data checks; no model is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer import benchmarks
from transfer.tasks.segmentation import config as seg_config
from transfer.tasks.segmentation.checks import check_counts, point_to_data
from transfer.tasks.segmentation.config import dump, judged, load_protocol, refuse_v1c_stem, resolve_config
from transfer.tasks.segmentation.task import IDENTITY, last_checkpoint
from twist_common.errors import UserError

VOC = benchmarks.get("seg-voc").config_path
CITYSCAPES = benchmarks.get("seg-cityscapes").config_path
DEMO = benchmarks.get("demo-seg").config_path
ANY = benchmarks.get("seg-voc-any").config_path
FROZEN = {name: benchmarks.get(f"{name}-frozen").config_path for name in ("seg-voc", "seg-cityscapes", "demo-seg")}


@pytest.mark.parametrize(
    ("path", "crop", "iterations", "batch_size", "images"),
    [(VOC, (512, 512), 20000, 16, (10582, 1449)), (CITYSCAPES, (769, 769), 40000, 8, (2975, 500))],
)
def test_paper_protocols_have_the_published_settings(
    path: Path, crop: tuple[int, int], iterations: int, batch_size: int, images: tuple[int, int]
) -> None:
    config, difference = resolve_config(load_protocol(path))
    train_set = config.train_dataloader.dataset
    pipeline = (train_set.get("datasets") or [train_set])[0].pipeline
    optimizer = config.optim_wrapper.optimizer
    assert difference == []
    assert tuple(next(step for step in pipeline if step.type == "RandomCrop").crop_size) == crop
    assert tuple(config.model.data_preprocessor.size) == crop
    assert (config.train_cfg.max_iters, config.param_scheduler[0].end) == (iterations, iterations)
    assert config.train_dataloader.batch_size == batch_size
    assert (config.num_images.train, config.num_images.test) == images
    assert dict(optimizer) == {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    assert (config.param_scheduler[0].power, config.param_scheduler[0].eta_min) == (0.9, 1e-4)
    assert config.model.neck.out_channels == 256
    assert config.model.backbone.norm_cfg.type == config.model.decode_head.norm_cfg.type == "SyncBN"


@pytest.mark.parametrize("name", ["seg-cityscapes", "seg-cityscapes-frozen"])
def test_cityscapes_is_tested_by_sliding_windows_of_the_training_crop(name: str) -> None:
    model = resolve_config(load_protocol(benchmarks.get(name).config_path))[0].model
    assert model.test_cfg.mode == "slide"
    assert tuple(model.test_cfg.crop_size) == tuple(model.data_preprocessor.size) == (769, 769)
    assert tuple(model.test_cfg.stride) == (513, 513)
    assert model.decode_head.align_corners is True
    assert benchmarks.get(name).protocol_version == 2  # version 1 tested whole images, without align_corners


@pytest.mark.parametrize("path", [VOC, CITYSCAPES, DEMO, *FROZEN.values()])
def test_all_protocols_feed_rgb_with_imagenet_statistics_to_a_plain_stem(path: Path) -> None:
    model = resolve_config(load_protocol(path))[0].model
    assert model.data_preprocessor.bgr_to_rgb is True
    assert model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert model.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert model.backbone.type == "ResNet"
    if path not in FROZEN.values():
        assert (model.backbone.frozen_stages, model.backbone.norm_eval) == (-1, False)


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_protocol_fixes_the_whole_backbone_and_keeps_data_and_test_of_the_fine_tuned_one(name: str) -> None:
    fine_tuned, frozen = (
        resolve_config(load_protocol(path))[0] for path in (benchmarks.get(name).config_path, FROZEN[name])
    )
    assert (frozen.model.backbone.frozen_stages, frozen.model.backbone.norm_eval) == (4, True)
    assert (frozen.model.neck, frozen.model.decode_head.type) == (None, "LinearPyramidHead")
    for section in ("num_images", "test_cfg", "test_evaluator"):
        assert frozen[section] == fine_tuned[section]
    if name != "demo-seg":  # whose classes are digits when frozen, and one digit when not
        assert (frozen.train_dataloader, frozen.test_dataloader) == (
            fine_tuned.train_dataloader,
            fine_tuned.test_dataloader,
        )


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_benchmark_is_another_than_the_fine_tuned_one_with_another_config(name: str) -> None:
    fine_tuned, frozen = benchmarks.get(name), benchmarks.get(f"{name}-frozen")
    assert fine_tuned.title != frozen.title
    assert dump(resolve_config(load_protocol(fine_tuned.config_path))[0]) != dump(
        resolve_config(load_protocol(frozen.config_path))[0]
    )


def test_rescaled_protocol_has_its_whole_schedule_scaled_and_stands_as_rescaled() -> None:
    config, difference = resolve_config(load_protocol(VOC), rescale=8)
    assert (config.train_dataloader.batch_size, config.optim_wrapper.optimizer.lr) == (8, 0.005)
    assert (config.train_cfg.max_iters, config.param_scheduler[0].end) == (40000, 40000)
    assert judged(config, load_protocol(VOC), difference).standing == "rescaled"


def test_warm_up_is_rescaled_with_the_rest() -> None:
    config, difference = resolve_config(load_protocol(ANY), rescale=8)
    assert (config.train_cfg.max_iters, config.optim_wrapper.optimizer.lr) == (40000, 5e-5)
    assert [(scheduler.begin, scheduler.end) for scheduler in config.param_scheduler] == [(3000, 40000), (0, 3000)]
    assert judged(config, load_protocol(ANY), difference).standing == "rescaled"


def test_run_that_ends_before_its_warm_up_is_refused() -> None:
    with pytest.raises(UserError, match=r"begins at iteration 1500 and ends at 10: a shorter run needs"):
        resolve_config(load_protocol(ANY), ["train_cfg.max_iters=10"])


@pytest.mark.parametrize(
    "overrides",
    [
        ("train_dataloader.batch_size=8",),
        ("train_dataloader.batch_size=8", "optim_wrapper.optimizer.lr=0.005"),
        (
            "train_dataloader.batch_size=8",
            "optim_wrapper.optimizer.lr=0.005",
            "train_cfg.max_iters=40000",
            "param_scheduler.0.end=30000",
        ),
        ("model.backbone.norm_eval=true",),
    ],
)
def test_smaller_batch_without_its_schedule_is_off_protocol(overrides: tuple[str, ...]) -> None:
    config, difference = resolve_config(load_protocol(VOC), overrides)
    verdict = judged(config, load_protocol(VOC), difference)
    assert (verdict.standing, verdict.difference) == ("off protocol", difference)


def test_protocol_as_it_is_stands_on_protocol() -> None:
    assert judged(resolve_config(load_protocol(VOC))[0], load_protocol(VOC), []).standing == "on protocol"


def test_override_changes_the_value_and_is_listed_as_a_difference() -> None:
    config, difference = resolve_config(
        load_protocol(VOC), ["optim_wrapper.optimizer.lr=1e-3", "model.backbone.norm_eval=true"]
    )
    assert config.optim_wrapper.optimizer.lr == 0.001
    assert difference == [
        "model.backbone.norm_eval: False -> True",
        "optim_wrapper.optimizer.lr: 0.01 -> 0.001",
    ]


def test_decay_spans_a_shortened_run_and_the_difference_says_so() -> None:
    config, difference = resolve_config(load_protocol(VOC), ["train_cfg.max_iters=10"])
    assert config.param_scheduler[0].end == 10
    assert difference == ["train_cfg.max_iters: 20000 -> 10", "param_scheduler.0.end: 20000 -> 10"]


def test_decay_that_is_set_itself_is_left_alone() -> None:
    config, _ = resolve_config(load_protocol(VOC), ["train_cfg.max_iters=10", "param_scheduler.0.end=5"])
    assert config.param_scheduler[0].end == 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train_cfg.max_iter=10", "did you mean 'max_iters'"),
        (
            "crop_size=512",
            "unknown setting of MMSegmentation",
        ),  # a variable of the config file: to set it would do nothing
        ("train_cfg.max_iters=many", "expected a value of type int"),
        ("train_cfg.max_iters=0", "train_cfg.max_iters is 0, it must be at least 1"),
        ("optim_wrapper.optimizer.lr=-1", "optim_wrapper.optimizer.lr is -1.0, it cannot be negative"),
        ("train_cfg.max_iters=true", "expected a value of type int"),
        ("optim_wrapper.optimizer.lr=fast", "expected a value of type float"),
        ("model=small", "names a group of settings"),
        ("param_scheduler.3.end=5", "not one of the numbers 0 to 0"),
        ("model.backbone.depth.x=1", "has no settings of its own"),
        ("train_cfg.max_iters", "not of the form key=value"),
    ],
)
def test_bad_override_is_refused_with_what_to_do(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_config(load_protocol(DEMO), [override])


def test_v1c_stem_is_refused() -> None:
    with pytest.raises(UserError, match="7x7"):
        resolve_config(load_protocol(VOC), ["model.backbone.type=ResNetV1c"])


def test_deep_stem_is_refused() -> None:
    config = seg_config.load_protocol(VOC)
    config.model.backbone.deep_stem = True
    with pytest.raises(UserError, match="deep_stem"):
        refuse_v1c_stem(config)


def test_dump_names_no_place_on_this_machine_and_is_the_same_each_time() -> None:
    first, again = (dump(resolve_config(load_protocol(VOC))[0]) for _ in range(2))
    assert first == again
    assert str(Path.cwd()) not in first
    assert str(VOC.parent) not in first


def test_missing_folder_is_named_with_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"VOC2012/JPEGImages: the images"):
        point_to_data(resolve_config(load_protocol(VOC))[0], tmp_path)


def test_missing_list_is_named(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationClassAug"):
        (root / folder).mkdir(parents=True)
    with pytest.raises(UserError, match=r"Segmentation/train\.txt: a list of image names"):
        point_to_data(resolve_config(load_protocol(VOC))[0], tmp_path)


def test_missing_cityscapes_masks_are_named(tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"gtFine/train: the segmentation masks"):
        point_to_data(resolve_config(load_protocol(CITYSCAPES))[0], tmp_path)


def test_incomplete_data_set_is_refused_unless_allowed_by_name() -> None:
    with pytest.raises(UserError, match=r"num_images\.train=9000"):
        check_counts(resolve_config(load_protocol(VOC))[0], num_train=9000, num_test=1449)
    allowed, difference = resolve_config(load_protocol(VOC), ["num_images.train=9000"])
    check_counts(allowed, num_train=9000, num_test=1449)
    assert difference == ["num_images.train: 10582 -> 9000"]


def test_checkpoint_of_another_trial_is_not_gone_on_from(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path, "this") is None
    (tmp_path / "iter_20.pth").touch()
    assert last_checkpoint(tmp_path, "this") == tmp_path / "iter_20.pth"
    assert last_checkpoint(tmp_path, "another") is None
    assert not (tmp_path / "iter_20.pth").exists()
    assert (tmp_path / IDENTITY).read_text() == "another"


def test_newest_checkpoint_that_is_whole_is_gone_on_from(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path, "this") is None
    for name in ("iter_8.pth", "iter_16.pth", ".iter_24.node-1.tmp.pth"):
        (tmp_path / name).touch()
    (tmp_path / "last_checkpoint").write_text("iter_24.pth")  # MMEngine writes this when that is begun
    assert last_checkpoint(tmp_path, "this") == tmp_path / "iter_16.pth"
