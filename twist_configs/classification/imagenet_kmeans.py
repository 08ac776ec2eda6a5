"""As imagenet_cluster.py, with k-means on frozen features for every checkpoint, also those with a class head.

tools/cluster.sh imagenet CKPT --kmeans
"""

import dataclasses

from twist_configs.classification import imagenet_cluster

_base_ = "imagenet_cluster.py"  # counts among the inputs of a trial

CONFIG = dataclasses.replace(imagenet_cluster.CONFIG, clusters_from="kmeans")
