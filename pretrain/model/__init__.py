"""The backbones by name, for both stages; TWIST's head and the whole model are in ``head`` and ``twist_model``."""

from pretrain.model.backbone import Backbone
from pretrain.model.build import BACKBONES, RESNETS, VITS, build_backbone
from pretrain.model.resnet import ResNetBackbone

__all__ = ["BACKBONES", "RESNETS", "VITS", "Backbone", "ResNetBackbone", "build_backbone"]
