"""Figures as text: digits, signs, and the words for what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transfer.report.compare.power import MAX_TRIALS_NEEDED
from transfer.report.compare.statistics import MIN_TRIALS, ImagesInterval, Interval, SampleSummary
from twist_common.files import sha256_text

NOTHING = "–"
OFF_PROTOCOL = "off protocol"

METRIC_TITLES = {
    "box_ap": "Box AP",
    "box_ap50": "Box AP50",
    "box_ap75": "Box AP75",
    "mask_ap": "Mask AP",
    "mask_ap50": "Mask AP50",
    "mask_ap75": "Mask AP75",
    "miou": "mIoU",
    "macc": "mAcc",
    "aacc": "aAcc",
    "top1": "Top-1",
    "top5": "Top-5",
    "nmi": "NMI",
    "ami": "AMI",
    "ami_max": "AMI by the maximum",
    "ari": "ARI",
    "acc": "ACC",
    "mean_per_class": "Mean per class",
    "map11": "11-point mAP",
    "silhouette": "Silhouette",
    "top1_chosen": "Top-1, chosen head",
    "top5_chosen": "Top-5, chosen head",
    "rmse_cm": "RMSE in cm",
    "abs_rel": "AbsRel",
    "delta1": "δ1",
}
MAX_SLUG = 100  # characters: a file's name has at most 255 bytes, of which hidden temporary ones take some
NAMED_UNIT = re.compile(r" in \w+$")


def metric_title(name: str) -> str:
    """The field's spelling of a metric's name; an unknown one stays as it is."""
    return METRIC_TITLES.get(name, name)


def in_units(metrics: Iterable[str], unit: str = "in percent") -> str:
    """What the figures of a table are in, if a title of :data:`METRIC_TITLES` names no other unit."""
    return f"{unit} where no other unit is named" if any(map(names_unit, metrics)) else unit


def names_unit(metric: str) -> bool:
    """Whether the metric's title names its unit; figures of all others are in percent."""
    return NAMED_UNIT.search(metric_title(metric)) is not None


def number(value: float | None, *, digits: int = 2) -> str:
    """Fixed digits, with a true minus sign and no negative zero."""
    if value is None:
        return NOTHING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def significant(value: float | None, *, digits: int = 3) -> str:
    """``"2.10"``, that many significant digits, for figures that are not percentages."""
    return NOTHING if value is None else f"{value:#.{digits}g}".removesuffix(".").replace("-", "−")


def hours(value: float) -> str:
    """``"0.0018"``, ``"2.5"``, ``"12.5"``, ``"1 055"``."""
    if value >= 100:
        return count(round(value))
    return number(value, digits=1) if value >= 10 else significant(value, digits=2)


def printed(value: float | None) -> str:
    """A published figure that is not a percentage, with the digits that it is printed with."""
    return NOTHING if value is None else "0" if value == 0 else str(value).replace("-", "−")


def signed(value: float | None) -> str:
    """As :func:`number`, with a plus sign before what is above zero."""
    text = number(value)
    return f"+{text}" if value is not None and float(f"{value:.2f}") > 0 else text


def summary(figures: SampleSummary | None, failed: int = 0) -> str:
    """``"24.31 ± 1.20 (5)"``; one trial has no spread: ``"24.31 (1)"``; survivors: ``"24.31 ± 1.20 (3 of 5)"``."""
    if figures is None or figures.n == 0:
        return NOTHING
    spread = f" ± {number(figures.sd)}" if figures.sd is not None else ""
    return f"{number(figures.mean)}{spread} ({figures.n}{f' of {figures.n + failed}' if failed else ''})"


def interval(figures: SampleSummary, deterministic: bool = False) -> str:
    """``"[22.82, 25.80]"``, or why there is none."""
    if deterministic:
        return "deterministic"
    if figures.interval:
        return f"[{number(figures.interval.low)}, {number(figures.interval.high)}]"
    return NOTHING if figures.n == 0 else "identical" if figures.n >= MIN_TRIALS else f"n < {MIN_TRIALS}"


def signed_interval(bounds: Interval | None) -> str:
    """``"[+0.82, +5.80]"``."""
    return f"[{signed(bounds.low)}, {signed(bounds.high)}]" if bounds else NOTHING


def with_images(found: ImagesInterval | None, *, is_difference: bool = False) -> str:
    """``"[22.10, 26.52]"``; ``"[22.10, 26.52], images alone"`` where no seed is in it."""
    if found is None:
        return NOTHING
    low, high = found.interval.low, found.interval.high
    bounds = signed_interval(found.interval) if is_difference else f"[{number(low)}, {number(high)}]"
    return bounds if found.degrees else f"{bounds}, images alone"


def p_value(value: float | None) -> str:
    """Two significant digits; below 0.001, only that it is."""
    if value is None:
        return NOTHING
    if value < 0.001:
        return "< 0.001"
    return f"{value:.2g}" if value < 0.0995 else f"{value:.2f}"


def choice_title(name: str) -> str:
    """``"labelled_images_sha256"`` as ``"Labelled images SHA-256"``."""
    words = name.replace("sha256", "SHA-256").replace("_", " ")
    return words[:1].upper() + words[1:]


def choice(value: object) -> str:
    """A chosen hyper-parameter or a fact of the optimisation: four digits, or the start of a hash, are enough."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−")
    text = NOTHING if value is None else str(value)
    return short_hash(text) if re.fullmatch(r"[0-9a-f]{64}", text) else text


def count(number: int) -> str:
    """``"12 345"``, with narrow no-break spaces."""
    return f"{number:,}".replace(",", "\u202f")


def more_trials(number: int | None) -> str:
    """How many more trials a test needs, or that it needs too many."""
    return count(number) if number is not None else f"> {count(MAX_TRIALS_NEEDED)}"


def difference(figures: SampleSummary, bounds: Interval | None = None) -> str:
    """``"+3.10 [+0.82, +5.38]"``; without an interval, the difference and why.

    Args:
        bounds: the interval to show; by default the 95 % interval of this one difference.
    """
    if figures.n == 0:
        return "no common seed"
    if bounds or figures.interval:
        return f"{signed(figures.mean)} {signed_interval(bounds or figures.interval)}"
    return f"{signed(figures.mean)} ({'identical pairs' if figures.identical else plural(figures.n, 'pair')})"


def duration(seconds: float) -> str:
    """``"42 s"``, ``"3 min 05 s"``, ``"2 h 10 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def gibibytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def short_hash(sha256: str) -> str:
    return sha256[:8] or NOTHING


def plural(count: int, noun: str) -> str:
    """``"1 trial"``, ``"3 trials"``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def slug(*names: str) -> str:
    """Part of a file name and HTML id; different names have different ones, however long, whatever they hold."""
    plain = ".".join(names)
    if len(plain) <= MAX_SLUG and all(re.fullmatch(r"[a-z0-9_-]+", name) for name in names):
        return plain
    readable = re.sub(r"[^a-z0-9_.-]+", "-", plain.lower())[:MAX_SLUG]
    return f"{readable}-{sha256_text(repr(names))[:8]}"
