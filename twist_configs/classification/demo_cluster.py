"""Unsupervised classification of the embedded digits: the 1,000 held-out digits in the head's clusters.

tools/cluster.sh demo CKPT
"""

from transfer.tasks.clustering.protocol import ClusterProtocol

CONFIG = ClusterProtocol(
    clusters_from="auto",
    resize=None,
    crop=None,  # the digits' own 28 pixels
    interpolation="bilinear",  # nothing is resized
    random_head_hidden=512,
    random_head_classes=64,  # as the demo recipe's head
    random_statistics_images=500,
    kmeans_clusters=None,
    kmeans_images=1000,
    kmeans_restarts=10,
    kmeans_minibatch_above=200_000,
    silhouette_images=5000,  # so exact here
    top3_images=9,
    batch_size=250,
)
