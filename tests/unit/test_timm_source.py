"""``timm:NAME@FILE``, ``timm:NAME`` and what timm's names stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from transfer.timm_source import timm_source
from transfer.trials.plan import weights_ref
from transfer.weights.backbone import architecture, load_backbone
from transfer.weights.backbone.network import build_network
from transfer.weights.backbone.timm_layout import timm_preprocessing
from transfer.weights.backbone.types import IMAGENET
from twist_common.errors import UserError


def test_a_path_is_no_name_of_timm(tmp_path: Path) -> None:
    assert timm_source("weights.pth") is None
    assert timm_source("random:resnet18") is None


def test_a_file_is_named_with_its_network(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    assert timm_source(f"timm:test_vit@{path}") == (path, "test_vit")
    ref = weights_ref(f"timm:test_vit@{path}", name="mine")
    assert (ref.source, ref.arch) == (str(path), "test_vit")
    with pytest.raises(UserError, match="--arch"):
        weights_ref(f"timm:test_vit@{path}", arch="test_convnext")


@pytest.mark.parametrize("source", ["timm:", "timm:test_vit@", "timm:@file"])
def test_half_a_name_is_refused(source: str) -> None:
    with pytest.raises(UserError, match="write timm:NAME@FILE"):
        timm_source(source)


def hub_with(files: dict[str, object], root: Path, repository: str) -> None:
    """A cache of Hugging Face's hub, as its client lays it out: links in a snapshot, the bytes in blobs."""
    folder = root / f"models--{repository.replace('/', '--')}"
    snapshot, commit = folder / "snapshots" / ("0" * 40), "0" * 40
    for part in (snapshot, folder / "refs", folder / "blobs"):
        part.mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    for name, content in files.items():
        blob = folder / "blobs" / f"of-{name.partition('.')[0]}"
        torch.save(content, blob)
        (snapshot / name).symlink_to(blob)


def test_timms_own_weights_come_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"has no timm/test_vit\.r160_in1k: run `hf download"):
        timm_source("timm:test_vit")
    state = build_network("test_vit").state_dict()
    hub_with({"pytorch_model.bin": state}, tmp_path, "timm/test_vit.r160_in1k")
    ref = weights_ref("timm:test_vit")
    assert (ref.name, ref.arch) == ("test_vit.r160_in1k", "test_vit.r160_in1k")
    backbone = load_backbone(ref.source, arch=ref.arch)
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict.items())
    with pytest.raises(UserError, match="timm has no weights of this name"):
        timm_source("timm:test_vitt")
    with pytest.raises(UserError, match="timm has no weights of this name"):
        timm_source("timm:test_vit.none")


def test_a_network_that_timm_has_too_keeps_our_name() -> None:
    assert architecture.canonical("timm:resnet50") == "resnet50"
    assert architecture.canonical("deit_small_patch16_224") == "deit_small"
    assert architecture.canonical("timm:convnext_atto") == "convnext_atto"
    for timms, ours in architecture.SAME_IN_TIMM.items():
        theirs = architecture.timm_spec(timms).shapes()
        assert list(theirs.items()) == list(architecture.expected_shapes(ours).items())


@pytest.mark.parametrize("name", ["timm:", "timm:resnet5", "timm:resnet18.none", "resnet 18", "levit_128s"])
def test_unknown_networks_are_refused(name: str) -> None:
    with pytest.raises(UserError):
        architecture.get(name)


def test_preprocessing_is_timms_only_where_all_its_weights_agree() -> None:
    assert timm_preprocessing("vit_small_patch14_dinov2") == IMAGENET
    assert timm_preprocessing("vit_base_patch16_224") is None  # augreg's 0.5, MAE's and DINO's ImageNet
    assert timm_preprocessing("vit_base_patch16_224.mae") == IMAGENET
    assert timm_preprocessing("resnet50") is None
