"""Any known checkpoint to a :class:`Backbone`: architecture, state dict, provenance."""

from transfer.weights.backbone.load import load_backbone, random_backbone
from transfer.weights.backbone.types import IMAGENET, Backbone, Preprocessing

__all__ = ["IMAGENET", "Backbone", "Preprocessing", "load_backbone", "random_backbone"]
