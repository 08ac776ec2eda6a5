"""The test-set ledger: sealed, opened once, recorded."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transfer.tasks.classification.datasets.labelled import FINAL_SCORING, LabelledImages, SealedTest


def images(num_images: int) -> LabelledImages:
    return LabelledImages(
        name="toy test",
        classes=("a", "b"),
        labels=np.zeros(num_images, dtype=np.int64),
        read=lambda row: Image.new("RGB", (2, 2)),
    )


def test_nothing_is_listed_before_the_seal_is_broken_and_the_opening_is_recorded() -> None:
    calls: list[str] = []

    def load() -> LabelledImages:
        calls.append("listed")
        return images(3)

    test = SealedTest(split="test", load=load)
    assert (calls, test.scorings) == ([], [])
    assert len(test.open()) == 3
    assert calls == ["listed"]
    assert test.scorings == [{"split": "test", "num_images": 3, "purpose": FINAL_SCORING}]


def test_a_second_opening_is_refused_and_reads_nothing() -> None:
    calls: list[str] = []

    def load() -> LabelledImages:
        calls.append("listed")
        return images(3)

    test = SealedTest(split="val", load=load)
    test.open("a look")
    with pytest.raises(RuntimeError, match="val images were opened before, for a look"):
        test.open()
    assert calls == ["listed"]
    assert len(test.scorings) == 1
