"""The projection head of the official TWIST code, github.com/bytedance/TWIST: train.py, class ProjectionHead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer.weights.backbone.naming import Naming
from transfer.weights.backbone.types import Checkpoint

PREFIX = "projection_heads."
NAMING = Naming(
    (
        ("mlp.0.{p}", "projection_head.0.{p}"),
        ("mlp.1.{p}", "projection_head.1.{p}"),
        ("mlp.3.{p}", "projection_head.4.{p}"),  # theirs has a dropout between
        ("mlp.4.{p}", "projection_head.5.{p}"),
        ("mlp.6.{p}", "last_linear.{p}"),
        ("nbs.{p}", "norm.{p}"),
    )
)


def official_head(checkpoint: Checkpoint, entry: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The head under our names, and what no shape shows of it; None where it is none that can be built here.

    That is one with batch norms (``--proj_norm bn``) whose activation the checkpoint's own arguments name.
    """
    state, act = checkpoint.get(entry), getattr(checkpoint.get("args"), "act", None)
    if not isinstance(state, Mapping) or act not in ("relu", "gelu"):
        return None
    theirs = {str(key).removeprefix(PREFIX): each for key, each in state.items() if str(key).startswith(PREFIX)}
    head = {NAMING.ours(key): each for key, each in theirs.items()}
    if not {"mlp.1.running_mean", "mlp.4.running_mean", "mlp.0.weight", "mlp.6.weight"} <= head.keys():
        return None
    shapes = [tuple(getattr(head[key], "shape", ())) for key in ("mlp.0.weight", "mlp.6.weight")]
    if [len(shape) for shape in shapes] != [2, 2]:
        return None
    return head, {"activation": act, "nbs": "nbs.running_mean" in head}
