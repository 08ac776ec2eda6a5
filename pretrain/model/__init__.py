"""The networks: backbones by name, TWIST's projection head, and both together."""

from pretrain.model.backbone import Backbone
from pretrain.model.build import BACKBONES, RESNETS, VITS, build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.model.resnet import ResNetBackbone
from pretrain.model.twist_model import TwistModel

__all__ = [
    "BACKBONES",
    "RESNETS",
    "VITS",
    "Backbone",
    "ProjectionHead",
    "ResNetBackbone",
    "TwistModel",
    "build_backbone",
]
