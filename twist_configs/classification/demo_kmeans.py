"""As demo_cluster.py, with k-means on frozen features for every checkpoint, also those with a class head.

tools/cluster.sh demo CKPT --kmeans
"""

import dataclasses

from twist_configs.classification import demo_cluster

_base_ = "demo_cluster.py"  # counts among the inputs of a trial

CONFIG = dataclasses.replace(demo_cluster.CONFIG, clusters_from="kmeans")
