"""Augmentation: the views of photographs, from JPEG files."""

from __future__ import annotations

import itertools

import cv2

import configs.pretrain
from pretrain.data.augment import NaturalViews
from pretrain.data.images import decode
from tools.bench.case import Case
from tools.bench.photographs import jpeg, photograph
from tools.bench.textbook_views import textbook_views

NUM_PHOTOGRAPHS = 8  # for each call; what is drawn differs from call to call, and its cost with it
SHAPES = ((375, 500), (500, 375), (333, 500), (375, 500))


def cases() -> list[Case]:
    """One case: all views of the ``rn50`` recipe."""
    recipe = configs.pretrain.get("rn50")
    files = [jpeg(photograph(seed, *SHAPES[seed % len(SHAPES)])) for seed in range(NUM_PHOTOGRAPHS)]
    ours, textbook = NaturalViews(recipe.crops, recipe.augmentation), textbook_views(recipe.crops, recipe.augmentation)
    seeds = itertools.count()

    def make_ours() -> object:
        cv2.setNumThreads(0)
        return [ours([decode(file)], [next(seeds)]) for file in files]

    def make_textbook() -> object:
        return [textbook(file) for file in files]

    crops = recipe.crops
    what = (
        f"{NUM_PHOTOGRAPHS} JPEG files of about 500 x 375 pixels to 2 views of {crops.global_size} and "
        f"{crops.num_local} of {crops.local_size} pixels each on one core; the textbook's are normalised floats, ours "
        "are bytes, which the training device normalises"
    )
    return [Case("augmentation", what, "s", make_ours, make_textbook, target=3.5, threads=1)]
