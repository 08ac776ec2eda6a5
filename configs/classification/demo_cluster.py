"""Unsupervised classification of the embedded digits: the class head's argmax on the 1,000 held-out digits.

tools/cluster.sh demo CKPT
"""

from transfer.classification.protocol import ClusterProtocol

CONFIG = ClusterProtocol(
    random_head_hidden=512,
    random_head_classes=64,  # as the demo recipe's head
    random_statistics_images=500,
    kmeans_restarts=10,
    batch_size=250,
)
