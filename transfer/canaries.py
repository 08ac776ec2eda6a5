"""Short trials with a known outcome, and the ranges in which they must end (:mod:`transfer.preflight.canary`)."""

from __future__ import annotations

from transfer.rows import Band, Canary


def below(published: float, where: str, *overrides: str) -> Canary:
    """A canary with bands from published figures, which are of whole schedules: a short trial cannot do better than the
    weakest pre-training does there, and must detect or segment something at all. That supervised weights do better
    than random ones is checked in any case.
    """
    source = f"up to the weakest row of {where} of TWIST (arXiv:2110.07402) at the end of its schedule"
    band = Band(low=0.0, high=published, source=source)
    return Canary(overrides=overrides, random=band, supervised=band)


def linear_probe(published: float) -> Canary:
    """As :func:`below`, for a 40th of DINOv2's linear probe."""
    source = "up to the weakest row of table 10, linear, of DINOv2 (arXiv:2304.07193) at the end of its schedule"
    band = Band(low=0.0, high=published, source=source)
    return Canary(overrides=("train_cfg.max_iters=1000", "param_scheduler.1.end=40"), random=band, supervised=band)


# A 24th of VOC's schedule and a 45th of COCO's, with their drops in proportion.
_SHORT_VOC = ("SOLVER.MAX_ITER=1000", "SOLVER.STEPS=(750,917)")
_SHORT_COCO = ("SOLVER.MAX_ITER=2000", "SOLVER.STEPS=(1334,1778)", "SOLVER.WARMUP_ITERS=200")
VOC = below(56.4, "table 5, MoCo v2,", *_SHORT_VOC)
COCO = below(39.8, "table 5, MoCo v2,", *_SHORT_COCO)
_SUPERVISED_ADE20K = "up to MMSegmentation's FPN from supervised weights at the end of 160k iterations"
ADE20K = Canary(
    overrides=("train_cfg.max_iters=1000",),
    random=Band(low=0.0, high=37.5, source=_SUPERVISED_ADE20K),
    supervised=Band(low=0.0, high=37.5, source=_SUPERVISED_ADE20K),
)
# Measured from random:resnet18 with seeds 10, 11 and 12, which no suite uses, on two cores in November 2026, one
# thread per trial: mean ± 4 standard deviations of the three, cut at 0. Nobody has supervised weights for digits.
DEMO_VOC = Canary(
    overrides=("SOLVER.MAX_ITER=100", "SOLVER.STEPS=(80,)"),
    random=Band(low=0.0, high=45.5, source="measured: 13.8, 11.0, 24.7"),
)
DEMO_SEG = Canary(
    overrides=("train_cfg.max_iters=15",),
    random=Band(low=44.0, high=84.5, source="measured: 63.52, 59.62, 69.66"),  # background alone gives 41.5
)
