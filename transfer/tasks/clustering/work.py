"""What a clustering trial computes: its protocol is one of those of classification."""

from transfer.tasks.classification.work import planned, recorded, shortened

__all__ = ["planned", "recorded", "shortened"]
