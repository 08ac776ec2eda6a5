"""What is wrong with a checkpoint's tensors is said by name, and nothing of it goes on to a benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from pretrain.model import BACKBONES, build_backbone
from tests.backbones import flat_state
from transfer.weights.backbone import load_backbone, random_backbone
from transfer.weights.backbone.architecture import COUNTER, RESNETS, VITS, expected_shapes, names
from transfer.weights.backbone.infer import infer_arch
from twist_common.errors import UserError

KEY = "layer2.0.conv1.weight"
State = dict[str, Any]


def load(state: State, folder: Path, **arguments: Any) -> Any:
    path = folder / "checkpoint.pth"
    torch.save(state, path)
    return load_backbone(path, **arguments)


def built_shapes(arch: str) -> dict[str, tuple[int, ...]]:
    with torch.random.fork_rng():
        return {key: tuple(value.shape) for key, value in build_backbone(arch).state_dict().items()}


def shapes_of(arch: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = torchvision.models.get_model(arch, weights=None)
    return {key: tuple(value.shape) for key, value in model.state_dict().items() if not key.startswith("fc.")}


@pytest.mark.parametrize("arch", [arch for arch in RESNETS if arch != "resnet50w2"])
def test_shapes_and_their_order_are_torchvisions(arch: str) -> None:
    assert list(expected_shapes(arch).items()) == list(shapes_of(arch).items())


@pytest.mark.parametrize("arch", ["resnet50w2", *VITS])
def test_shapes_and_their_order_are_those_of_the_networks_that_are_pre_trained(arch: str) -> None:
    with torch.device("meta"):
        assert list(expected_shapes(arch).items()) == list(built_shapes(arch).items())


def test_every_backbone_that_can_be_pre_trained_is_an_architecture_here() -> None:
    assert set(names()) == set(BACKBONES)
    for arch, spec in VITS.items():
        assert build_backbone(arch).blocks[0].attn.num_heads == spec.num_heads


@pytest.mark.parametrize("arch", names())
def test_architecture_is_inferred_from_keys(arch: str) -> None:
    assert infer_arch(expected_shapes(arch), "file") == arch


def test_networks_of_other_block_counts_are_timms_or_refused_by_them() -> None:
    shapes = shapes_of("resnet152")
    assert infer_arch(shapes, "file") == "resnet152"
    with pytest.raises(UserError, match=r"3-8-35-3 bottleneck.*--arch with timm's name"):
        infer_arch({key: shape for key, shape in shapes.items() if not key.startswith("layer3.35.")}, "file")


def test_vision_transformer_of_unknown_size_is_refused_by_it() -> None:
    shapes = expected_shapes("vit_base") | {"cls_token": (1, 1, 192)}
    with pytest.raises(UserError, match="12 blocks, width 192 and patches of 16 px"):
        infer_arch(shapes, "file")


def test_other_networks_are_refused_with_their_keys() -> None:
    with pytest.raises(UserError, match=r"none of the networks.*features\.0\.weight.*--arch with timm's name"):
        infer_arch({"features.0.weight": (64, 3, 11, 11)}, "file")


@pytest.mark.parametrize("variant", ["wide_resnet50_2", "resnext50_32x4d"])
def test_wide_and_grouped_variants_that_are_not_known_are_refused_by_the_first_other_shape(
    variant: str, tmp_path: Path
) -> None:
    state = {
        key: torch.tensor(0) if key.endswith(COUNTER) else torch.tensor(1.0).expand(shape)
        for key, shape in shapes_of(variant).items()
    }
    state["layer4.2.bn1.weight"] = torch.ones(8)
    with pytest.raises(UserError, match=r"layer1\.0\.conv1\.weight has shape \[128, 64, 1, 1\].*variant.*--arch"):
        load(state, tmp_path)


def without(state: State) -> None:
    del state[KEY]


def with_extra(state: State) -> None:
    state["layer2.0.conv9.weight"] = torch.zeros(1)


def set_to(value: Any) -> Callable[[State], None]:
    return lambda state: state.__setitem__(KEY, value)


def with_number(number: float) -> Callable[[State], None]:
    def change(state: State) -> None:
        state[KEY] = state[KEY].clone()
        state[KEY][3, 2, 1, 0] = number

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(without, f"lacks {KEY}", id="missing"),
        pytest.param(with_extra, r"has layer2\.0\.conv9\.weight", id="extra"),
        pytest.param(set_to(torch.zeros(128, 64, 1, 1)), rf"{KEY} has shape \[128, 64, 1, 1\]", id="misshaped"),
        pytest.param(set_to(torch.ones((), dtype=torch.int8).expand(128, 64, 3, 3)), f"{KEY} is torch.int8", id="int8"),
        pytest.param(
            set_to(torch.ones((), dtype=torch.complex64).expand(128, 64, 3, 3)),
            f"{KEY} is torch.complex64",
            id="complex",
        ),
        pytest.param(set_to(torch.zeros(128, 64, 3, 3).to_sparse()), f"{KEY} is not a dense tensor", id="sparse"),
        pytest.param(set_to("conv"), f"{KEY}', which is not a tensor", id="not a tensor"),
        pytest.param(with_number(float("nan")), f"{KEY} holds NaN", id="nan"),
        pytest.param(with_number(float("-inf")), f"{KEY} holds NaN or infinity", id="inf"),
    ],
)
def test_bad_tensor_is_refused_by_name(change: Callable[[State], None], says: str, tmp_path: Path) -> None:
    state = flat_state()
    change(state)
    with pytest.raises(UserError, match=says):
        load(state, tmp_path)


def test_negative_variance_is_refused(tmp_path: Path) -> None:
    state = flat_state() | {"bn1.running_var": torch.full((64,), -1e-3)}
    with pytest.raises(UserError, match=r"bn1\.running_var holds a negative variance"):
        load(state, tmp_path)


def test_empty_state_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="state dict is empty"):
        load({"model": {}, "backbone": {}}, tmp_path)


def test_counters_that_an_old_checkpoint_lacks_are_zero_and_listed(tmp_path: Path) -> None:
    state = {key: value for key, value in flat_state().items() if not key.endswith(COUNTER)}
    backbone = load(state, tmp_path)
    counters = [key for key in expected_shapes("resnet18") if key.endswith(COUNTER)]
    assert list(backbone.filled) == counters and len(counters) == 20
    assert all(backbone.state_dict[key].item() == 0 for key in counters)


def test_single_missing_counter_is_a_damaged_checkpoint(tmp_path: Path) -> None:
    state = flat_state()
    del state["bn1.num_batches_tracked"]
    with pytest.raises(UserError, match=r"lacks bn1\.num_batches_tracked"):
        load(state, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    backbone = load(flat_state() | {KEY: torch.tensor(0.5, dtype=dtype).expand(128, 64, 3, 3)}, tmp_path)
    assert backbone.state_dict[KEY].dtype == torch.float32
    assert torch.equal(backbone.state_dict[KEY], torch.full((128, 64, 3, 3), 0.5))


def test_expected_architecture_is_checked_against_the_keys(tmp_path: Path) -> None:
    assert load(flat_state(), tmp_path, arch="resnet18").arch == "resnet18"
    with pytest.raises(UserError, match="holds a resnet18, not a resnet50"):
        load(flat_state(), tmp_path, arch="resnet50")
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        load(flat_state(), tmp_path, arch="resnet81")


def test_random_backbone_is_torchvisions_initialisation_of_that_seed() -> None:
    before = torch.get_rng_state()
    backbone = random_backbone("resnet18", seed=5)
    assert torch.equal(torch.get_rng_state(), before), "the global generator was touched"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        reference = torchvision.models.resnet18().state_dict()
    for key, tensor in backbone.state_dict.items():
        assert torch.equal(tensor, reference[key]), key


def test_random_backbone_differs_between_seeds_in_weights_and_identity() -> None:
    one, other = random_backbone("resnet18", 1), random_backbone("resnet18", 2)
    assert not torch.equal(one.state_dict["conv1.weight"], other.state_dict["conv1.weight"])
    assert one.sha256 != other.sha256


def test_random_backbone_of_unknown_architecture_is_refused() -> None:
    with pytest.raises(UserError, match="unknown architecture 'resnet5'"):
        random_backbone("resnet5", 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_counters_in_floating_point_are_whole_numbers_again(dtype: torch.dtype, tmp_path: Path) -> None:
    state = flat_state()
    floating = {key: value.to(dtype) if key.endswith(COUNTER) else value for key, value in state.items()}
    backbone = load(floating, tmp_path)
    for key in (key for key in state if key.endswith(COUNTER)):
        assert backbone.state_dict[key].dtype == torch.int64 and torch.equal(backbone.state_dict[key], state[key])


@pytest.mark.parametrize(
    ("count", "dtype", "read", "is_filled"),
    [
        (1000.5, torch.float32, 1000, False),  # timm's avg_checkpoints.py
        (7, torch.int32, 7, False),
        (7, torch.bfloat16, 7, False),
        (450_000, torch.float16, 0, True),  # infinity there
    ],
)
def test_counters_touch_no_feature_and_are_read_in_any_type(
    count: float, dtype: torch.dtype, read: int, is_filled: bool, tmp_path: Path
) -> None:
    backbone = load(flat_state() | {"bn1.num_batches_tracked": torch.tensor(count).to(dtype)}, tmp_path)
    assert backbone.state_dict["bn1.num_batches_tracked"].item() == read
    assert backbone.state_dict["bn1.num_batches_tracked"].dtype == torch.int64
    assert backbone.filled == (("bn1.num_batches_tracked",) if is_filled else ())


@pytest.mark.parametrize("count", [float("nan"), float("inf"), 1j])
def test_counter_that_is_no_number_is_refused(count: complex, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bn1\.num_batches_tracked is \S+, not a number of batches"):
        load(flat_state() | {"bn1.num_batches_tracked": torch.tensor(count)}, tmp_path)
