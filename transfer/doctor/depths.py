"""Pairs of an image and its depths: NYUv2 by BTS's lists."""

from __future__ import annotations

from pathlib import Path

from transfer.doctor.files import check_count, check_image, for_each, read_or_note, repeated
from transfer.doctor.findings import (
    LEAK,
    MISSING,
    NOTHING_LABELLED,
    REPEATED,
    UNREADABLE_ANNOTATION,
    UNUSABLE_DEPTHS,
    Findings,
)
from transfer.layouts import DepthLists
from transfer.tasks.segmentation.depth_files import MILLIMETRE, depth_pairs, stored_depths
from twist_common.errors import is_not_the_files
from twist_common.progress import Progress

# NYUv2's rooms reach 10 m: in centimetres that reads as 1 m, in units of 1/256 m (as KITTI has them) as 2.56 m.
FEWEST_MAPS, NEAR = 20, 3.0


def check_lists(layout: DepthLists, findings: Findings, progress: Progress) -> None:
    """Checks both lists, and every image and depth map of them."""
    listed: dict[str, set[Path]] = {}
    for split, count, names in (("train", layout.num_train, layout.train), ("test", layout.num_test, layout.test)):
        pairs = listed_pairs(names, findings)
        listed[split] = {image for image, _ in pairs}
        if pairs:
            _check_pairs(split, pairs, count, findings, progress)
    for image in listed["train"] & listed["test"]:
        findings.add(LEAK, image)


def listed_pairs(names: str, findings: Findings) -> list[tuple[Path, Path]]:
    """The images of a list with their depths; none, and noted, if it cannot be read."""
    path = findings.root / names
    try:
        pairs = depth_pairs(findings.root, names)
    except FileNotFoundError:
        findings.add(MISSING, path)
        return []
    except (OSError, ValueError) as error:
        if is_not_the_files(error):
            raise
        findings.add(UNREADABLE_ANNOTATION, f"{names} ({error})")
        return []
    for image in repeated([image for image, _ in pairs]):
        findings.add(REPEATED, f"{findings.name(image)} in {names}")
    return pairs


def _check_pairs(
    split: str, pairs: list[tuple[Path, Path]], count: int, findings: Findings, progress: Progress
) -> None:
    blank: list[Path] = []
    farthest: list[int] = []

    def check(pair: tuple[Path, Path]) -> None:
        image, depths = pair
        check_image(image, _check_depths(depths, blank, farthest, findings), findings)

    check_count(split, len(pairs), count, findings)
    for_each(pairs, check, progress, f"images and depths of {split}")
    if split == "test" and len(pairs) == len(blank):
        findings.add(NOTHING_LABELLED, blank[0].parent)
    if len(farthest) >= FEWEST_MAPS and max(farthest) * MILLIMETRE < NEAR:
        far = f"{max(farthest) * MILLIMETRE:.2f} m"
        findings.add(UNUSABLE_DEPTHS, f"{split}, where nothing is farther than {far}: it is in another unit")
    for path in blank:
        findings.note("depth maps without a depth", path)


def _check_depths(path: Path, blank: list[Path], farthest: list[int], findings: Findings) -> tuple[int, int] | None:
    """Notes what is wrong with a depth map; returns its (width, height) if it can be read."""
    if (depths := read_or_note(path, stored_depths, UNUSABLE_DEPTHS, findings)) is None:
        return None
    if not depths.any():
        blank.append(path)
    farthest.append(int(depths.max()))
    return depths.shape[1], depths.shape[0]
