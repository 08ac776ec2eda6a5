"""The collapse sentinel: knows the signs of a network that no longer tells images apart, and says what to check.

The signs are those of the collapsed rows of the paper's table 8 (both entropies at their largest value, no gradient)
and one that the norm before the softmax (NBS) does not prevent: all columns of the logits become equal. NBS holds
every column's deviation over the images at 1, but the deviation within a row goes to 0, and with it the KL divergence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From where on a value is a sign, and for how long it has to be there.

    A healthy run starts with rows of deviation 1, so with a sharpness about half a nat below its largest value, and
    moves away from it; the collapsed rows of table 8 are within 0.01 nats. Without NBS a run starts with flat
    entropies too, but with its full gradient.

    Attributes:
        flat_gap: entropies are flat that are closer than this to their largest possible value, in nats.
        small_gradient: share of the run's largest gradient below which it is as good as gone.
        small_row_deviation: of the logits after NBS; 1 where the columns are independent. 0.25 costs the entropy
            0.03 nats.
        kept_column_deviation: NBS's own value is 1.
        few_classes: share of the classes that an epoch's images could use.
        grace: logged steps at the start of a run in which nothing is said.
        patience: logged steps in a row that a sign has to last.
        epoch_grace, epoch_patience: the same for the classes used in an epoch.
    """

    flat_gap: float = 0.05
    small_gradient: float = 0.1
    small_row_deviation: float = 0.25
    kept_column_deviation: float = 0.7
    few_classes: float = 0.1
    grace: int = 3
    patience: int = 3
    epoch_grace: int = 1
    epoch_patience: int = 2


def largest_entropy(num_classes: int, eps: float) -> float:
    """Entropy of the uniform distribution as the objective computes it, with eps inside the logarithm.

    With C = 4096 and eps = 1e-5 it is 8.28, the value that table 8 has for its collapsed rows; ln C is 8.32.
    """
    return -math.log(1 / num_classes + eps)


class CollapseSentinel:
    """Takes in what a run logs, and answers with one sentence when a sign of collapse has lasted.

    A sign that lasts is told once, and again only after it had gone.

    Args:
        num_classes: C.
        eps: the objective's.
        num_images: images an epoch, where they may be fewer than the classes.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        eps: float = 1e-5,
        num_images: int | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        self._num_classes = num_classes
        self._usable_classes = min(num_classes, num_images or num_classes)
        self._largest_entropy = largest_entropy(num_classes, eps)
        self._thresholds = thresholds or Thresholds()
        self._seen = _Seen()

    def observe_step(self, statistics: Mapping[str, float]) -> str | None:
        """The statistics of a logged step of the first stage (self-labeling has another loss).

        Args:
            statistics: ``sharpness``, ``diversity``, ``grad_before_nbs``, ``std_r_after_nbs`` and
                ``std_c_after_nbs`` are read (see :mod:`pretrain.watch.monitor`).

        Returns:
            One sentence that names the sign and what to check, or None.
        """
        seen, limits = self._seen, self._thresholds
        seen.steps += 1
        seen.largest_gradient = max(seen.largest_gradient, statistics["grad_before_nbs"])
        if seen.steps <= limits.grace:
            return None
        are_equal = self._columns_are_equal(statistics)
        seen.uniform = seen.uniform + 1 if are_equal or self._is_flat(statistics) else 0
        if seen.uniform != limits.patience:
            return None
        return self._equal_columns(statistics) if are_equal else self._flat_entropies(statistics)

    def observe_epoch(self, statistics: Mapping[str, float]) -> str | None:
        """The statistics of an epoch; ``used_classes`` is read.

        Returns:
            As :meth:`observe_step`.
        """
        seen, limits = self._seen, self._thresholds
        seen.epochs += 1
        if seen.epochs <= limits.epoch_grace:
            return None
        used = statistics["used_classes"]
        is_few = used < max(2.0, limits.few_classes * self._usable_classes)
        seen.few = seen.few + 1 if is_few else 0
        return self._few_classes(used) if seen.few == limits.epoch_patience else None

    def _columns_are_equal(self, statistics: Mapping[str, float]) -> bool:
        limits = self._thresholds
        return (
            statistics["std_r_after_nbs"] < limits.small_row_deviation
            and statistics["std_c_after_nbs"] > limits.kept_column_deviation
        )

    def _is_flat(self, statistics: Mapping[str, float]) -> bool:
        limits = self._thresholds
        return (
            min(statistics["sharpness"], statistics["diversity"]) > self._largest_entropy - limits.flat_gap
            and statistics["grad_before_nbs"] < limits.small_gradient * self._seen.largest_gradient
        )

    def _entropies(self, statistics: Mapping[str, float]) -> str:
        return (
            f"sharpness {statistics['sharpness']:.2f} and diversity {statistics['diversity']:.2f}, "
            f"where {self._largest_entropy:.2f} is the uniform output's"
        )

    def _equal_columns(self, statistics: Mapping[str, float]) -> str:
        return (
            f"collapse: for {self._thresholds.patience} logged steps every class has nearly the same logit (deviation "
            f"within a row {statistics['std_r_after_nbs']:.2f} while NBS keeps that of a column at "
            f"{statistics['std_c_after_nbs']:.2f}; {self._entropies(statistics)}): check that loss.alpha is not 0 and "
            "that the augmentation leaves something in common to an image's views (jitter, inversion, crop scales)"
        )

    def _flat_entropies(self, statistics: Mapping[str, float]) -> str:
        share = statistics["grad_before_nbs"] / self._seen.largest_gradient
        return (
            f"collapse: for {self._thresholds.patience} logged steps all classes are equally likely for every image "
            f"({self._entropies(statistics)}) and the gradient is {share:.0%} of the run's largest: check loss.alpha, "
            "model.nbs and optim.lr"
        )

    def _few_classes(self, used: float) -> str:
        return (
            f"collapse: in {self._thresholds.epoch_patience} epochs in a row the images fell into few classes, now "
            f"{used:.0f} of {self._num_classes}: check loss.beta, model.nbs and whether data.batch_size is large "
            "enough for the diversity of so many classes"
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, for a checkpoint."""
        return dataclasses.asdict(self._seen)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of :meth:`state_dict`."""
        self._seen = _Seen(**state)


@dataclass
class _Seen:
    """Steps and epochs observed, how long each sign has been there, and the largest gradient."""

    steps: int = 0
    epochs: int = 0
    uniform: int = 0
    few: int = 0
    largest_gradient: float = 0.0
