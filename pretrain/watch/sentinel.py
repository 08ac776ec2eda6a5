"""The collapse sentinel: detects a network that no longer distinguishes images, and says what to check.

The signs are those of the collapsed rows of the paper's table 8 (both entropies at their maximum, no gradient), and one
that the norm before the softmax (NBS) does not prevent: all columns of the logits become equal. NBS keeps the standard
deviation of every column over the images at 1, but that within a row goes to 0, and with it the KL divergence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A healthy run starts with a standard deviation of 1 within rows, hence with a sharpness about half a nat below its
# maximum, and moves away from it; the collapsed rows of table 8 are within 0.01 nats. Without NBS, a run also starts
# with flat entropies, but with its full gradient.
FLAT_GAP = 0.05  # nats: entropies closer than this to their maximum count as flat
SMALL_GRADIENT = 0.1  # share of the run's largest gradient below which the gradient has vanished
SMALL_ROW_DEVIATION = 0.25  # of the logits after NBS, 1 for independent columns; 0.25 lowers the entropy by 0.03 nats
KEPT_COLUMN_DEVIATION = 0.7  # with NBS it is 1
FEW_CLASSES = 0.1  # share of the classes that an epoch's images could use
GRACE, EPOCH_GRACE = 3, 1  # logged steps and epochs at the start of a run without warnings
PATIENCE, EPOCH_PATIENCE = 3, 2  # consecutive logged steps and epochs for which a sign must persist


def largest_entropy(num_classes: int, eps: float) -> float:
    """Entropy of the uniform distribution as the objective computes it, with eps inside the logarithm.

    With C = 4096 and eps = 1e-5 it is 8.28, which is table 8's value for its collapsed rows; ln C is 8.32.
    """
    return -math.log(1 / num_classes + eps)


@dataclass
class _Seen:
    """Observed steps and epochs, how long each sign has persisted, and the largest gradient."""

    steps: int = 0
    epochs: int = 0
    uniform: int = 0
    few: int = 0
    largest_gradient: float = 0.0


class CollapseSentinel:
    """Reads what a run logs, and returns a warning of one sentence if a sign of collapse persists.

    A persistent sign is reported once, and again only after it has disappeared.

    Args:
        num_classes: C.
        eps: that of the objective.
        num_images: images per epoch, in case they are fewer than the classes.
    """

    def __init__(self, num_classes: int, *, eps: float = 1e-5, num_images: int | None = None) -> None:
        self._num_classes = num_classes
        self._usable_classes = min(num_classes, num_images or num_classes)
        self._largest_entropy = largest_entropy(num_classes, eps)
        self._seen = _Seen()

    def observe_step(self, statistics: Mapping[str, float]) -> str | None:
        """Observes a logged step of the first stage (self-labeling has another loss).

        Args:
            statistics: ``sharpness``, ``diversity``, ``grad_before_nbs``, ``std_r_after_nbs`` and
                ``std_c_after_nbs`` are used (see :mod:`pretrain.watch.monitor`).

        Returns:
            One sentence that names the sign and what to check, or None.
        """
        seen, sharpness, diversity = self._seen, statistics["sharpness"], statistics["diversity"]
        gradient, row, column = (statistics[f"{name}_nbs"] for name in ("grad_before", "std_r_after", "std_c_after"))
        seen.steps += 1
        seen.largest_gradient = max(seen.largest_gradient, gradient)
        if seen.steps <= GRACE:
            return None
        are_equal = row < SMALL_ROW_DEVIATION and column > KEPT_COLUMN_DEVIATION
        is_flat = (
            min(sharpness, diversity) > self._largest_entropy - FLAT_GAP
            and gradient < SMALL_GRADIENT * seen.largest_gradient
        )
        seen.uniform = seen.uniform + 1 if are_equal or is_flat else 0
        if seen.uniform != PATIENCE:
            return None
        entropies = (
            f"sharpness {sharpness:.2f} and diversity {diversity:.2f}, where {self._largest_entropy:.2f} is the "
            "uniform output's"
        )
        if are_equal:
            return (
                f"collapse: for {PATIENCE} logged steps every class has nearly the same logit (deviation within a row "
                f"{row:.2f} while NBS keeps that of a column at {column:.2f}; {entropies}): check that loss.alpha is "
                "not 0 and that the augmentation leaves something in common to an image's views (jitter, inversion, "
                "crop scales)"
            )
        return (
            f"collapse: for {PATIENCE} logged steps all classes are equally likely for every image ({entropies}) and "
            f"the gradient is {gradient / seen.largest_gradient:.0%} of the run's largest: check loss.alpha, model.nbs "
            "and optim.lr"
        )

    def observe_epoch(self, statistics: Mapping[str, float]) -> str | None:
        """Observes an epoch; ``used_classes`` is used.

        Returns:
            As :meth:`observe_step`.
        """
        seen, used = self._seen, statistics["used_classes"]
        seen.epochs += 1
        if seen.epochs <= EPOCH_GRACE:
            return None
        seen.few = seen.few + 1 if used < max(2.0, FEW_CLASSES * self._usable_classes) else 0
        if seen.few != EPOCH_PATIENCE:
            return None
        return (
            f"collapse: in {EPOCH_PATIENCE} epochs in a row the images fell into few classes, now {used:.0f} of "
            f"{self._num_classes}: check loss.beta, model.nbs and whether data.batch_size is large enough for the "
            "diversity of so many classes"
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, for a checkpoint."""
        return dataclasses.asdict(self._seen)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from a state of :meth:`state_dict`."""
        self._seen = _Seen(**state)
