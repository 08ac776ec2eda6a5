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


def short_segmentation(published: float, where: str, *overrides: str, low: float = 0.0) -> Canary:
    """A thousand iterations of a protocol for any network, or of a probe, from a random initialisation.

    The band ends at the weakest published figure of pre-trained weights after the whole schedule. Weights of today's
    pre-training may pass that in a thousand iterations, so there is none for them.
    """
    source = f"up to the weakest row of {where} at the end of its schedule"
    return Canary(
        overrides=("train_cfg.max_iters=1000", *overrides), random=Band(low=low, high=published, source=source)
    )


# A 24th of VOC's schedule and a 45th of COCO's, with their drops in proportion.
_SHORT_VOC = ("SOLVER.MAX_ITER=1000", "SOLVER.STEPS=(750,917)")
_SHORT_COCO = ("SOLVER.MAX_ITER=2000", "SOLVER.STEPS=(1334,1778)", "SOLVER.WARMUP_ITERS=200")
VOC = below(56.4, "table 5, MoCo v2,", *_SHORT_VOC)
COCO = below(39.8, "table 5, MoCo v2,", *_SHORT_COCO)
# A model that calls everything a wall, ADE20K's most frequent class with 15.76 % of all pixels, has a mIoU of 0.11:
# https://github.com/mdt48/semantic-segmentation-pytorch/blob/2a6b95db51324a7e5dc8c449fbc8c6c4c51d7487/data/object150_info.csv
ALL_WALL = 0.12
_ADE20K = Band(
    low=ALL_WALL,
    high=37.5,
    source="from what one class everywhere gives to MMSegmentation's FPN from supervised weights after 160k iterations",
)
ADE20K = Canary(overrides=("train_cfg.max_iters=1000",), random=_ADE20K, supervised=_ADE20K)
# The weakest figure of pre-trained weights, and where it stands.
VOC_FCN = (67.5, "table 6 of TWIST (arXiv:2110.07402)")
CITYSCAPES_FCN = (73.8, "table 6 of TWIST (arXiv:2110.07402)")
ADE20K_FPN = (37.5, "MMSegmentation's semantic FPN from supervised weights")
TABLE_10 = "table 10, linear, of DINOv2 (arXiv:2304.07193)"
# Nothing is trained: the whole protocol, on small images where there are many.
KNN = Canary(
    overrides=("resize=64", "crop=64"),
    random=Band(low=0.1, high=62.0, source="from chance to the weakest row of table 7 of DINO (arXiv:2104.14294)"),
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
# Any architecture, so the band is wide. Chance is 10.
DEMO_KNN = Canary(
    overrides=(),
    random=Band(
        low=30.0, high=97.0, source="measured: 86.4, 88.3, 88.4 from a ResNet-18, 89.8, 88.3, 88.3 from a ResNet-50"
    ),
)
