"""Counts what an image costs in each dense benchmark, for :mod:`transfer.tasks.costs`.

    python -m transfer.tasks.count [BENCHMARK ...]

Prints rows of the table; run it again when a protocol's model or image size changes. All of them take minutes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from transfer import benchmarks
from transfer.rows import Benchmark, DenseDataset
from transfer.task import task_of
from transfer.tasks.costs import REST
from transfer.work import Flop
from twist_common.counting import shares

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

PYRAMID, PLAIN = "resnet50", "vit_base"  # whose pyramids and heads are counted where a protocol takes any network


def flop_of(counter: FlopCounterMode, num_images: int = 1) -> Flop:
    """What a counter saw, per image."""
    convolutions, products = shares(counter)
    return Flop(convolutions / num_images, products / num_images)


def row(name: str) -> str:
    """The benchmark's row in its table, as Python."""
    benchmark = benchmarks.get(name)
    if benchmark.arch is not None:
        return f'    "{name}": {_counted(benchmark)},'
    return f'    "{name}": {{"pyramid": {_counted(benchmark, PYRAMID)}, "plain": {_counted(benchmark, PLAIN)}}},'


def _counted(benchmark: Benchmark, arch: str | None = None) -> str:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):  # torch's counter does not know the CPU's fused attention
        counted = task_of(benchmark).count(benchmark, arch)
    train, test = (f"Flop({flop.convolutions:.4g}, {flop.products:.4g})" for flop in (counted.train, counted.test))
    parameters = f"num_parameters={counted.num_parameters:_}, num_trained={counted.num_trained:_}"
    return f"ModelCost(train={train}, test={test}, {parameters})"


if __name__ == "__main__":
    dense = [
        name
        for name, each in benchmarks.BENCHMARKS.items()
        if isinstance(each.dataset, DenseDataset)
        and not each.dataset.is_own
        and (each.arch is not None or name in REST)
    ]
    for name in sys.argv[1:] or dense:
        print(row(name), flush=True)
