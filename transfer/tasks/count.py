"""Counts what an image costs in each dense benchmark, for :mod:`transfer.tasks.costs`.

    python -m transfer.tasks.count [BENCHMARK ...]

Prints rows of the table; run it again when a protocol's model or image size changes. All of them take minutes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from common.counting import shares
from transfer import benchmarks
from transfer.rows import DenseDataset
from transfer.task import task_of
from transfer.work import Flop

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode


def flop_of(counter: FlopCounterMode, num_images: int = 1) -> Flop:
    """What a counter saw, per image."""
    convolutions, products = shares(counter)
    return Flop(convolutions / num_images, products / num_images)


def row(name: str) -> str:
    """The benchmark's row in the table, as Python."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    benchmark = benchmarks.get(name)
    with sdpa_kernel(SDPBackend.MATH):  # torch's counter does not know the CPU's fused attention
        counted = task_of(benchmark).count(benchmark)
    train, test = (f"Flop({flop.convolutions:.4g}, {flop.products:.4g})" for flop in (counted.train, counted.test))
    parameters = f"num_parameters={counted.num_parameters:_}, num_trained={counted.num_trained:_}"
    return f'    "{name}": ModelCost(train={train}, test={test}, {parameters}),'


if __name__ == "__main__":
    dense = [name for name, benchmark in benchmarks.BENCHMARKS.items() if isinstance(benchmark.dataset, DenseDataset)]
    for name in sys.argv[1:] or dense:
        print(row(name), flush=True)
