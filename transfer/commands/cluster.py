"""``tools/cluster.sh``: unsupervised classification trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.benchmarks import CLUSTERING
from transfer.commands.trial_command import TrialArgs, benchmark_lines, run_benchmarks, typed_names
from twist_common import cli

COMMAND = "tools/cluster.sh"


@dataclass
class Args(TrialArgs):
    """Unsupervised classification: clusters of test images, scored against labels that no training used.

    Clusters are the class head's argmax; checkpoints without a class head get k-means on their frozen features.
    Reports NMI, AMI, ARI, and accuracy and top-5 after the best one-to-one matching (Kuhn-Munkres), and the
    silhouette, with pictures of the confusion matrix, of the clusters' use, and of the three most likely classes.

    benchmarks:
    {benchmarks}

    example: tools/cluster.sh demo runs/pretrain/demo/backbone.pth
    """

    kmeans: bool = False
    """k-means for checkpoints with a class head too: a benchmark of its own, in which all are treated alike"""


def main(args: Args) -> int:
    return run_benchmarks(args, typed_names(CLUSTERING, "--kmeans" if args.kmeans else None), COMMAND)


def run() -> None:
    cli.run(Args, main, prog=COMMAND, benchmarks=benchmark_lines(CLUSTERING))


if __name__ == "__main__":
    run()
