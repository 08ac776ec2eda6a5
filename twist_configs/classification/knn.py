"""Weighted k-nearest neighbours on frozen features, as DINO's eval_knn.py.

    tools/transfer_cls.sh imagenet-knn CKPT
    tools/transfer_cls.sh folder-knn CKPT --data DIR

The 20 most similar training images vote, with weights exp(cosine similarity / 0.07). Features of center crops after a
bicubic resize, in fp32. Nothing is drawn, so one trial is all there is.
"""

from transfer.tasks.classification.protocol import KnnProtocol

CONFIG = KnnProtocol(num_neighbors=20, temperature=0.07, resize=256, crop=224, batch_size=256)
