"""Self-labeling's loss against its definition, image by image. Two processes: see test_pretrain_processes.py."""

import math

import pytest
import torch
from torch import Tensor

from pretrain.loss.self_labeling import self_labeling_loss


def random_logits(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(logits: Tensor, keep_share: float) -> tuple[Tensor, float, float]:
    """The loss, the threshold and the share of images, as one would explain them."""
    chosen = []
    for image in range(logits.shape[1]):
        probs = [logits[view, image].softmax(dim=0) for view in range(len(logits))]
        anchor = 0 if probs[0].max() > probs[1].max() else 1
        label = int(probs[anchor].argmax())
        others = [-probs[view][label].log() for view in range(len(logits)) if view != anchor]
        chosen.append((probs[anchor].max().item(), sum(others) / len(others)))
    chosen.sort(key=lambda pair: -pair[0])
    chosen = chosen[: max(1, math.floor(keep_share * len(chosen)))]
    loss = torch.stack([torch.as_tensor(loss) for _, loss in chosen]).mean()
    return loss, chosen[-1][0], len(chosen) / logits.shape[1]


@pytest.mark.parametrize("num_views", [2, 3, 6])
@pytest.mark.parametrize("keep_share", [0.01, 0.5, 0.6, 1.0])
def test_loss_and_gradient_equal_the_definition(num_views: int, keep_share: float) -> None:
    ours, theirs = (random_logits(num_views, 11, 5).requires_grad_() for _ in range(2))
    loss = self_labeling_loss(ours, keep_share)
    expected, threshold, kept = plain(theirs, keep_share)
    loss.total.backward()
    expected.backward()
    torch.testing.assert_close(loss.total, expected, rtol=1e-12, atol=1e-12)
    assert loss.threshold.item() == pytest.approx(threshold, rel=1e-12)
    assert loss.kept.item() == pytest.approx(kept)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-13)


def test_confident_view_teaches_the_others_and_not_itself() -> None:
    logits = torch.zeros(4, 1, 3)
    logits[1, 0] = torch.tensor([0.0, 5.0, 0.0])
    logits.requires_grad_()
    loss = self_labeling_loss(logits, 1.0)
    loss.total.backward()
    assert loss.total.item() == pytest.approx(math.log(3))  # three uniform views
    gradient = logits.grad
    assert gradient is not None
    assert torch.equal(gradient[1], torch.zeros(1, 3))
    for view in (0, 2, 3):
        assert gradient[view, 0, 1] < 0 < gradient[view, 0, 0]


def test_images_below_the_threshold_get_no_gradient() -> None:
    logits = torch.zeros(3, 4, 6)
    logits[0, :, 0] = torch.tensor([4.0, 1.0, 3.0, 2.0])
    logits.requires_grad_()
    loss = self_labeling_loss(logits, 0.5)
    loss.total.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum(dim=(0, 2)).bool().tolist() == [True, False, True, False]
    assert loss.threshold.item() == pytest.approx(math.exp(3) / (math.exp(3) + 5))


def test_share_is_kept_when_all_images_are_equally_confident() -> None:
    """Late in training many confidences are 1 in single precision; a strict threshold would then label none."""
    logits = 1e3 * torch.eye(6)[None].repeat(3, 1, 1)
    loss = self_labeling_loss(logits.requires_grad_(), 0.5)
    assert loss.kept.item() == 0.5 and loss.threshold.item() == 1.0
    assert torch.isfinite(loss.total)


def test_half_precision_logits_are_computed_in_single() -> None:
    logits = random_logits(4, 16, 8).bfloat16()
    loss = self_labeling_loss(logits, 0.5)
    assert loss.total.dtype == torch.float32
    assert loss.total.item() == pytest.approx(plain(logits.double(), 0.5)[0].item(), rel=1e-5)


@pytest.mark.parametrize(("shape", "share"), [((1, 4, 5), 0.5), ((4, 5), 0.5), ((2, 4, 5), 0.0), ((2, 4, 5), 1.1)])
def test_impossible_arguments_are_refused(shape: tuple[int, ...], share: float) -> None:
    with pytest.raises(ValueError, match="cannot be labelled"):
        self_labeling_loss(torch.zeros(shape), share)
