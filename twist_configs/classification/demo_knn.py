"""Weighted k-nearest neighbours of the embedded digits, at their own 28 pixels: what imagenet-knn does, in seconds.

tools/transfer_cls.sh demo-knn CKPT
"""

from transfer.tasks.classification.protocol import KnnProtocol

CONFIG = KnnProtocol(num_neighbors=20, temperature=0.07, resize=None, crop=None, batch_size=250)
