"""Unsupervised classification of ImageNet's 50,000 validation images, or of any folder of class folders.

    tools/cluster.sh imagenet CKPT
    tools/cluster.sh folder CKPT --data DIR

With the 1000-class head of ``tools/pretrain.sh rn50_cluster``, or of any TWIST checkpoint: the argmax, nothing trained,
on center crops after a bilinear resize, whatever the backbone, as the official train.py does
(https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/train.py). Checkpoints without a
head get k-means with 1000 clusters on the features of 100,000 training images, about a hundred per class: all 1.28
million would be 10 GB. A trial takes minutes on a single GPU.
"""

from transfer.tasks.clustering.protocol import ClusterProtocol

CONFIG = ClusterProtocol(
    clusters_from="auto",
    resize=256,
    crop=224,
    interpolation="bilinear",
    random_head_hidden=4096,
    random_head_classes=1000,  # as the recipe rn50_cluster
    random_statistics_images=5120,  # 20 batches
    kmeans_clusters=None,
    kmeans_images=100_000,
    kmeans_restarts=1,  # each costs 0.4 TFLOP an iteration on the CPU; what another gives shows between seeds
    kmeans_minibatch_above=200_000,
    silhouette_images=5000,  # all would be ten times the work; the standard error is in the record
    top3_images=9,
    batch_size=256,
)
