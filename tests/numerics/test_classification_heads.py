"""Many heads at once against torch's own optimiser, one head at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.tasks.classification.heads import Heads, ranks
from transfer.tasks.classification.protocol import HeadSetting
from transfer.tasks.classification.scoring import topk_accuracy
from transfer.tasks.classification.sgd import lr_factor
from transfer.tasks.classification.training import Group

SIZES = {"small": 6, "large": 10}
SETTINGS = [
    HeadSetting(feature=feature, lr=lr, weight_decay=decay)
    for feature, lr, decay in [("large", 0.3, 0.0), ("small", 0.1, 0.0), ("large", 0.02, 0.01), ("small", 1.0, 0.001)]
]
NUM_CLASSES, NUM_STEPS, BATCH = 5, 12, 8


def make_heads() -> Heads:
    return Heads(SETTINGS, SIZES, NUM_CLASSES, head_std=0.5, momentum=0.9, seed=3, dtype=torch.float64)


def batch(step: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Features, labels, and which images are held out for all heads but the first."""
    generator = torch.Generator().manual_seed(step)
    features = {
        name: torch.randn(BATCH, size, generator=generator, dtype=torch.float64) for name, size in SIZES.items()
    }
    labels = torch.randint(NUM_CLASSES, (BATCH,), generator=generator)
    return features, labels, torch.arange(BATCH) % 4 == step % 4


def trained_alone(head: int) -> nn.Linear:
    """The head as everybody would train it."""
    setting = SETTINGS[head]
    module = nn.Linear(SIZES[setting.feature], NUM_CLASSES, dtype=torch.float64)
    weight, bias = make_heads().parameters_of(head)
    module.load_state_dict({"weight": weight, "bias": bias})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0, momentum=0.9, weight_decay=setting.weight_decay)
    for step in range(NUM_STEPS):
        optimizer.param_groups[0]["lr"] = setting.lr * lr_factor(step, NUM_STEPS, 0, steps_per_epoch=3)
        features, labels, held_out = batch(step)
        rows = torch.arange(BATCH) if head == 0 else (~held_out).nonzero().flatten()
        loss = F.cross_entropy(module(features[setting.feature][rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module


def test_heads_trained_at_once_are_those_trained_alone() -> None:
    heads = make_heads()
    for step in range(NUM_STEPS):
        features, labels, held_out = batch(step)
        counted = torch.ones(BATCH, len(SETTINGS), dtype=torch.float64)
        counted[held_out, 1:] = 0
        factor = lr_factor(step, NUM_STEPS, 0, steps_per_epoch=3)
        heads.step(features, labels, counted, lr_factor=factor, group=Group(device="cpu"))
    for head in range(len(SETTINGS)):
        alone = trained_alone(head)
        weight, bias = heads.parameters_of(head)
        torch.testing.assert_close(weight, alone.weight.detach(), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(bias, alone.bias.detach(), rtol=1e-12, atol=1e-13)
        features, _, _ = batch(100)
        with torch.no_grad():
            expected = alone(features[SETTINGS[head].feature])
            torch.testing.assert_close(heads.logits(features)[:, head], expected, rtol=1e-12, atol=1e-13)


def test_a_step_gives_each_head_s_mean_loss_before_it() -> None:
    heads = make_heads()
    features, labels, held_out = batch(0)
    counted = torch.ones(BATCH, len(SETTINGS), dtype=torch.float64)
    counted[held_out, 1:] = 0
    with torch.no_grad():
        logits = heads.logits(features)
    expected = [F.cross_entropy(logits[:, 0], labels).item()]
    expected += [F.cross_entropy(logits[~held_out, head], labels[~held_out]).item() for head in (1, 2, 3)]
    losses = heads.step(features, labels, counted, lr_factor=1.0, group=Group(device="cpu"))
    assert losses.tolist() == pytest.approx(expected)


def test_heads_go_on_from_their_state() -> None:
    one, other = make_heads(), make_heads()
    features, labels, _ = batch(0)
    counted = torch.ones(BATCH, len(SETTINGS), dtype=torch.float64)
    group = Group(device="cpu")
    one.step(features, labels, counted, lr_factor=1.0, group=group)
    other.load_state(one.state())
    for heads in (one, other):
        heads.step(features, labels, counted, lr_factor=0.5, group=group)
    with torch.no_grad():
        assert torch.equal(one.logits(features), other.logits(features))


def test_ranks_give_the_accuracies_of_sorted_scores_and_a_diverged_head_is_never_right() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(4, (200, 3, 7), generator=generator).float()  # with ties
    labels = torch.randint(7, (200,), generator=generator)
    found = ranks(logits, labels).numpy()
    for head in range(3):
        for k in (1, 3, 5):
            expected = topk_accuracy(logits[:, head].numpy(), labels.numpy(), k)
            assert np.mean(found[:, head] < k) == pytest.approx(expected)
    logits[:, 1] = float("nan")
    assert (ranks(logits, labels)[:, 1] == 7).all()
