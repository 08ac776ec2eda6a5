"""TWIST's ResNet-50 for unsupervised classification of ImageNet."""

import dataclasses

from configs.pretrain.rn50 import rn50
from pretrain.recipe import Model, Recipe


def rn50_cluster() -> Recipe:
    """The ``rn50`` recipe with as many classes as ImageNet has, so that the head's argmax is a classification.

    ``tools/pretrain.sh rn50_cluster --data /path/to/imagenet``, then ``tools/cluster.sh imagenet``

    Expect: published NMI 74.3, AMI 57.7, ARI 30.0, ACC 40.6 on ImageNet's validation set, which includes 50 epochs
    of self-labeling after this stage. Not measured here.
    """
    return dataclasses.replace(rn50(), name="rn50_cluster", model=Model(backbone="resnet50", num_classes=1000))
