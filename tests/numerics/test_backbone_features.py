"""The reference that conversions are compared with: pretrain.model against torchvision's own ResNet."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

from pretrain.model import build_backbone
from tests.backbones import trained_like
from transfer.weights.convert.proof import proof_images
from transfer.weights.convert.target import TORCHVISION_MODULES


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_forward_stages_are_torchvisions_feature_maps(arch: str) -> None:
    torch.set_num_threads(1)
    state = trained_like(arch).state_dict
    model = build_backbone(arch).eval()
    model.load_state_dict(state, strict=True)
    reference = torchvision.models.get_model(arch, weights=None).eval()
    reference.fc = torch.nn.Identity()
    reference.load_state_dict(state, strict=True)
    extractor = create_feature_extractor(reference, {module: stage for stage, module in TORCHVISION_MODULES.items()})
    with torch.inference_mode():
        for images in proof_images():
            stages, expected = model.forward_stages(images), extractor(images)
            assert stages.keys() == expected.keys()
            for stage, feature_map in expected.items():
                torch.testing.assert_close(stages[stage], feature_map, rtol=0, atol=0)


def test_proof_images_are_the_same_each_time_and_of_two_sizes() -> None:
    first, second = proof_images(), proof_images()
    assert len({images.shape[-2:] for images in first}) == 2
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
