"""TWIST's objective; :mod:`pretrain.loss.twist` begins with the paper's equation."""

from pretrain.loss.twist import TwistLoss, momentum_twist_loss, multicrop_twist_loss, twist_loss

__all__ = ["TwistLoss", "momentum_twist_loss", "multicrop_twist_loss", "twist_loss"]
