"""``tools/cluster.sh``: unsupervised classification trials from any known checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from common import cli
from transfer.commands.benchmark_command import TrialArgs, run_benchmarks

COMMAND = "tools/cluster.sh"
BENCHMARKS = {"demo": ("demo-cluster",), "imagenet": ("imagenet-cluster",), "folder": ("folder-cluster",)}
KMEANS = {"demo": ("demo-kmeans",), "imagenet": ("imagenet-kmeans",), "folder": ("folder-kmeans",)}


@dataclass
class Args(TrialArgs):
    """Unsupervised classification: clusters of test images, scored against labels that nothing was trained with.

    The class head's argmax; checkpoints without a class head get k-means on their frozen features. NMI, AMI, ARI,
    accuracy and top-5 after the best one-to-one matching (Kuhn-Munkres), and the silhouette; pictures of the confusion
    matrix, of the clusters' use, and of three likely classes.

    benchmarks:
      demo      the embedded digits
      imagenet  its 50,000 validation images
      folder    any folder with train/<class>/* and val/<class>/*, given with --data

    example: tools/cluster.sh demo runs/pretrain/demo/backbone.pth
    """

    kmeans: bool = False
    """k-means for checkpoints with a class head, too: a benchmark of its own, in which all are treated alike"""


def main(args: Args) -> int:
    return run_benchmarks(args, KMEANS if args.kmeans else BENCHMARKS, COMMAND)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
