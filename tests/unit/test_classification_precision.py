"""The precision of a network's passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from transfer.tasks.classification.precision import computed_in

CONVOLUTIONS: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]


def test_fp32_on_gpus_is_without_tf32_by_the_fastest_algorithm_and_leaves_the_settings_as_they_were() -> None:
    before = CONVOLUTIONS.fp32_precision
    with pytest.raises(KeyError), computed_in("fp32", "cuda"):
        assert CONVOLUTIONS.fp32_precision == "ieee" and not torch.is_autocast_enabled("cuda")
        assert torch.backends.cudnn.benchmark
        raise KeyError
    assert before == CONVOLUTIONS.fp32_precision != "ieee"
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cpus_compute_in_the_networks_own(precision: Any) -> None:
    with computed_in(precision, "cpu"):
        assert nn.Linear(2, 2, dtype=torch.float64)(torch.ones(1, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_fp32_is_exact_and_bf16_is_not() -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(64, 64, 3), torch.randn(4, 64, 32, 32)
    expected = layer.double()(images.double())
    layer = layer.float().cuda()
    errors = {}
    for precision in ("fp32", "bf16"):
        with torch.no_grad(), computed_in(precision, "cuda"):  # type: ignore[arg-type]
            errors[precision] = float((layer(images.cuda()).double().cpu() - expected).abs().max())
    assert errors["fp32"] < 1e-5 < 1e-3 < errors["bf16"]
