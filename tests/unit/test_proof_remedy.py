"""A config that is not the proved one is refused with what to do about it."""

import pytest

from transfer.weights.convert.proof import SCHEMA_VERSION, verify_proof
from twist_common.errors import UserError

PROVED = {"pixel_mean": [0.0, 0.0, 0.0], "pixel_std": [255.0, 255.0, 255.0], "color_order": "RGB"}
PROOF = {
    "schema_version": SCHEMA_VERSION, "target": "detectron2", "arch": "resnet18", "weights_sha256": "ab",
    "settings": PROVED, "stages": {},
}  # fmt: skip


def refusal(**used: object) -> str:
    with pytest.raises(UserError) as error:
        verify_proof(PROOF, "detectron2", "resnet18", "ab", {**PROVED, **used})
    return str(error.value)


def test_weights_of_other_colors_are_told_the_overrides_that_run_them() -> None:
    said = refusal(pixel_mean=[123.675, 116.28, 103.53])
    assert "give MODEL.PIXEL_MEAN=[0.0,0.0,0.0], the weights' own" in said and "off protocol" in said


def test_a_wrong_color_order_is_no_choice_of_the_weights() -> None:
    assert refusal(color_order="BGR", pixel_mean=[1.0, 1.0, 1.0]).endswith("correct the config")
