"""What is shown of a run: its name, its unit, and where the figure comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One figure of a run.

    Attributes:
        source: the statistic of ``metrics.jsonl`` (mean of the last epoch's logged steps, or the last epoch's own),
            or a field of the evaluation.
        meaning: for the report's legend.
        form: the figure as text.
        scale: what the figure is multiplied by where it is told as a number, so that shares become percent.
    """

    source: str
    meaning: str
    form: Callable[[float], str] = "{:.2f}".format
    scale: float = 1.0


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


METRICS = {
    "loss": Metric("loss", "TWIST's loss with the run's own weights of the terms"),
    "consistency": Metric("consistency", "KL divergence between views", "{:.3f}".format),
    "sharpness": Metric("sharpness", "mean entropy of an image's class distribution, in nats"),
    "diversity": Metric("diversity", "entropy of the mean class distribution, in nats"),
    "grad": Metric("grad_before_nbs", "mean magnitude of the gradient before the last norm", "{:.1e}".format),
    "std_c_before": Metric("std_c_before_nbs", "mean standard deviation of a class over images, before NBS"),
    "std_r_before": Metric("std_r_before_nbs", "mean standard deviation of an image over classes, before NBS"),
    "std_c_after": Metric("std_c_after_nbs", "mean standard deviation of a class over images, at the softmax"),
    "std_r_after": Metric("std_r_after_nbs", "mean standard deviation of an image over classes, at the softmax"),
    "used_classes": Metric("used_classes", "classes that were some image's argmax in the last epoch", "{:.0f}".format),
    "acc": Metric("acc", "linear accuracy of the frozen features on val, in percent", _percent, 100.0),
    "nmi": Metric("nmi", "NMI of the head's argmax with the labels of val, in percent", _percent, 100.0),
}
