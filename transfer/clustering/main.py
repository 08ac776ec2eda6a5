"""``tools/cluster.sh``: unsupervised classification trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from common import cli
from transfer.cli import TrialArgs, run_benchmarks

COMMAND = "tools/cluster.sh"
BENCHMARKS = {"demo": ("demo-cluster",)}


@dataclass
class Args(TrialArgs):
    """Unsupervised classification: the class head's argmax on held-out images, scored against their labels.

    NMI, AMI, ARI, and accuracy after the best one-to-one matching (Kuhn-Munkres). Checkpoints without a class head get
    k-means on their frozen features.

    benchmarks:
      demo  the embedded digits

    example: tools/cluster.sh demo runs/pretrain/demo/backbone.pth
    """


def main(args: Args) -> int:
    return run_benchmarks(args, BENCHMARKS, COMMAND)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
