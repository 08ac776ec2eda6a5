"""``hf://OWNER/NAME`` and other addresses: from the local cache, or what to run; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.backbones import flat_state, trained_like
from tests.unit.test_timm_source import hub_with
from transfer.commands import convert
from transfer.hub_source import hub_source
from transfer.timm_source import named_checkpoint
from transfer.trials.plan import weights_ref
from transfer.weights.backbone import load_backbone
from twist_common.errors import UserError

COMMIT = "0" * 40
CONFIG = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in the hub's cache of a model with two files and a config."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    other = {"net": flat_state(offset=1.0)}
    hub_with({"pytorch_model.bin": flat_state(), "other.pth": other}, tmp_path / "hub", "owner/name")
    folder = tmp_path / "hub" / "models--owner--name" / "snapshots" / COMMIT
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.mark.parametrize(
    ("address", "file", "name"),
    [
        ("hf://owner/name", "", "name"),
        ("hf:/owner/name", "", "name"),  # as pathlib writes it
        (f"hf://owner/name@{COMMIT}", "", "name"),
        ("hf://owner/name/other.pth", "other.pth", "name-other"),
        (f"hf://owner/name/other.pth@{COMMIT}", "other.pth", "name-other"),
        (f"hf://owner/name@{COMMIT}/other.pth", "other.pth", "name-other"),
        ("https://huggingface.co/owner/name", "", "name"),
        ("https://huggingface.co/owner/name/resolve/main/other.pth?download=true", "other.pth", "name-other"),
        ("https://hf.co/owner/name/blob/main/pytorch_model.bin", "pytorch_model.bin", "name"),
    ],
)
def test_address_on_the_hub_is_a_file_or_folder_of_its_cache(
    address: str, file: str, name: str, snapshot: Path
) -> None:
    assert hub_source(address) == (snapshot / file, name)
    assert named_checkpoint(f"timm:test_vit@{address}", None) == (snapshot / file, "test_vit")
    ref = weights_ref(address)
    assert (ref.source, ref.name) == (str(snapshot / file), name)  # not the blob, which has no config beside it


@pytest.mark.parametrize(
    ("address", "offset"),
    [("hf://owner/name", 0.0), ("hf://owner/name/pytorch_model.bin", 0.0), ("hf://owner/name/other.pth", 1.0)],
)
def test_config_of_the_hub_is_read_with_the_file(address: str, offset: float, snapshot: Path) -> None:
    backbone = load_backbone(weights_ref(address).source)
    assert (backbone.arch, backbone.preprocessing.std) == ("resnet18", (0.25, 0.25, 0.25))
    assert torch.equal(backbone.state_dict["conv1.weight"], flat_state(offset=offset)["conv1.weight"])


def test_conversion_is_not_written_into_the_cache(snapshot: Path, tmp_path: Path) -> None:
    torch.save(trained_like("resnet18").state_dict, snapshot / "pytorch_model.bin")
    convert.main(convert.Args(Path("hf://owner/name"), to="timm"))
    assert (tmp_path / "name.timm.safetensors").is_file()
    assert len(list(snapshot.iterdir())) == 3


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("hf://owner/other", "run `hf download owner/other` where"),
        ("hf://owner/name/none.pth@v1", r"run `hf download owner/name none\.pth --revision v1` where"),
        ("https://host/a b.pth?x=1", r"run `curl -LO 'https://host/a b\.pth\?x=1'`, then give the path"),
        ("https:/host/model.pth", "run `curl -LO https://host/model.pth`"),
        ("s3://bucket/model.pth", "download it first, then give the path"),
    ],
)
def test_what_is_not_in_the_cache_is_refused_with_what_to_run(address: str, says: str, snapshot: Path) -> None:
    for read in (weights_ref, load_backbone):
        with pytest.raises(UserError, match=says):
            read(address)


def test_paths_are_no_addresses(tmp_path: Path) -> None:
    assert hub_source(str(tmp_path / "model.pth")) is None and hub_source("timm:resnet18") is None
