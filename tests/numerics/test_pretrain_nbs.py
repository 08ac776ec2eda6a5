"""NBS on one process: its bunches against torch's batch norm on each. Two processes: see test_pretrain_processes.py."""

import copy

import pytest
import torch
from torch import Tensor, nn

from pretrain.distributed import Process
from pretrain.model.norms import BunchLayout, BunchNorm, assign_bunches, average_running_statistics, bunch_layout
from twist_common.errors import UserError

ALONE = Process(torch.device("cpu"))
V, B, C = 3, 8, 5


def logits(seed: int = 0) -> Tensor:
    """(V * B, C), view after view."""
    return 1 + 2 * torch.randn(V * B, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bunch_norm(bunch_size: int | None) -> BunchNorm:
    norm = BunchNorm(C).double()
    assign_bunches(norm, bunch_size, B, ALONE)
    return norm


def by_hand(rows: Tensor, bunch_size: int) -> Tensor:
    """Every bunch's rows, all views of consecutive images, through torch's own norm without affine."""
    norm = nn.BatchNorm1d(C, affine=False).double()
    output = torch.empty_like(rows)
    for first in range(0, B, bunch_size):
        members = [view * B + image for view in range(V) for image in range(first, first + bunch_size)]
        output[members] = norm(rows[members])
    return output


@pytest.mark.parametrize("bunch_size", [2, 4, 8])
def test_bunches_are_consecutive_images_with_all_their_views(bunch_size: int) -> None:
    rows = logits()
    torch.testing.assert_close(bunch_norm(bunch_size)(rows, V), by_hand(rows, bunch_size), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bunch_size", [2, 8])
def test_gradient_goes_through_the_statistics_of_the_bunch(bunch_size: int) -> None:
    norm = bunch_norm(bunch_size)
    assert torch.autograd.gradcheck(lambda rows: norm(rows, V), logits().requires_grad_())


def test_whole_part_is_one_bunch_and_equals_batch_norm_to_the_bit() -> None:
    plain = nn.BatchNorm1d(C, affine=False).double()
    expected = plain(logits())
    for norm in (bunch_norm(None), BunchNorm(C).double()):
        assert torch.equal(norm(logits(), V), expected)
        assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), plain.buffers(), strict=True))


def test_running_statistics_follow_the_mean_over_bunches() -> None:
    norm, rows = bunch_norm(4), logits()
    norm(rows, V)
    views = rows.view(V, B, C)
    halves = [views[:, :4].flatten(0, 1), views[:, 4:].flatten(0, 1)]
    mean = torch.stack([half.mean(dim=0) for half in halves]).mean(dim=0)
    variance = torch.stack([half.var(dim=0) for half in halves]).mean(dim=0)
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    torch.testing.assert_close(norm.running_mean, 0.1 * mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance, rtol=1e-12, atol=1e-12)
    assert norm.num_batches_tracked.item() == 1


@pytest.mark.parametrize("bunch_size", [4, 8])
def test_statistics_stay_where_tracking_is_off(bunch_size: int) -> None:
    """Accumulation passes each part twice and counts it once."""
    norm = bunch_norm(bunch_size)
    norm.track_running_stats = False
    output = norm(logits(), V)
    torch.testing.assert_close(output, by_hand(logits(), bunch_size), rtol=1e-12, atol=1e-12)
    norm.track_running_stats = True
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), BunchNorm(C).double().buffers(), strict=True))


def test_evaluation_takes_running_statistics_for_any_number_of_images() -> None:
    norm = bunch_norm(4)
    norm(logits(), V)
    norm.eval()
    rows = logits(1)[:7]
    assert norm.running_mean is not None and norm.running_var is not None
    expected = (rows - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(norm(rows), expected, rtol=1e-12, atol=1e-12)


def test_state_dict_is_the_one_of_batch_norm() -> None:
    norm, plain = bunch_norm(4), nn.BatchNorm1d(C, affine=False).double()
    assert [*norm.state_dict()] == [*plain.state_dict()]
    plain(logits())
    norm.load_state_dict(plain.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), plain.buffers(), strict=True))


def test_copy_for_a_momentum_encoder_keeps_its_bunches() -> None:
    norm = copy.deepcopy(bunch_norm(4))
    torch.testing.assert_close(norm(logits(), V), by_hand(logits(), 4), rtol=1e-12, atol=1e-12)


def test_averaging_on_one_process_changes_nothing() -> None:
    norm = bunch_norm(4)
    norm(logits(), V)
    before = [buffer.clone() for buffer in norm.buffers()]
    average_running_statistics(norm, ALONE)
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), before, strict=True))


def test_rows_that_are_not_whole_bunches_are_refused() -> None:
    with pytest.raises(ValueError, match="not 3 views of bunches of 4 images"):
        bunch_norm(4)(logits()[:-3], V)


@pytest.mark.parametrize(
    ("bunch_size", "part_size", "world_size", "layout"),
    [
        (256, 2048, 16, BunchLayout(images=128, processes=2)),  # the paper's ResNet-50
        (240, 1920, 32, BunchLayout(images=60, processes=4)),  # and the double width
        (256, 2048, 1, BunchLayout(images=256, processes=1)),
        (256, 2048, 4, BunchLayout(images=256, processes=1)),
        (None, 2048, 16, BunchLayout(images=128, processes=16)),
        (None, 128, 1, BunchLayout(images=128, processes=1)),
    ],
)
def test_bunches_span_processes_or_split_their_share(
    bunch_size: int | None, part_size: int, world_size: int, layout: BunchLayout
) -> None:
    assert bunch_layout(bunch_size, part_size, world_size) == layout


@pytest.mark.parametrize(
    ("bunch_size", "part_size", "world_size", "says"),
    [
        (256, 300, 1, "model.bunch_size is 256, which does not divide 300 images"),
        (0, 300, 1, "model.bunch_size is 0"),
        (96, 384, 6, "each of 6 processes has 64 of 384 images"),
        (None, 300, 8, "300 images .* cannot be shared evenly by 8 processes"),
    ],
)
def test_numbers_that_do_not_divide_are_the_users_to_mend(
    bunch_size: int | None, part_size: int, world_size: int, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        bunch_layout(bunch_size, part_size, world_size)
