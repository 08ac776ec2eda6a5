"""Files of other kinds are named with the next step; safetensors and Hugging Face folders are read."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.backbones import flat_state, prefixed
from tests.unit.test_backbone_read import STATE, equal
from transfer.weights.backbone import load_backbone
from transfer.weights.backbone.read import read_checkpoint, sha256_of
from twist_common.errors import UserError


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


def torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


DETECTRON2 = {"model": {"stem.conv1.weight": np.zeros(3)}, "__author__": "MOCO", "matching_heuristics": True}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.pth", lambda: b"<!DOCTYPE html><html>", "a web page"),
        ("a.pth", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("a.pth.gz", lambda: gzip.compress(saved(STATE)), "gzip archive.*give a.pth"),
        ("a.zip", lambda: zipped("inner/model.pth", saved(STATE)), "give inner/model.pth"),
        ("a.tar", lambda: tarred("x/readme", "x/model.ckpt"), "tar archive.*give x/model.ckpt"),
        ("a.pth.tar", lambda: tarred("storages", "tensors", "pickle"), r"before torch 0\.1\.10"),
        ("a.pth", npz, "NumPy arrays"),
        ("a.pth", torchscript, "TorchScript.*torch.jit.load"),
        ("a.pkl", lambda: pickle.dumps(DETECTRON2), "Detectron2.*converted from"),
        ("a.pkl", lambda: pickle.dumps({"state_dict": [1]}), "torch.save did not write"),
        ("a.pkl", lambda: pickle.dumps({"conv.weight": torch.ones(3)}), r"pickle\.dump wrote.*pickle\.load"),
        ("R-50.pkl", lambda: pickle.dumps({"blobs": {"conv1_w": np.ones(3)}}), "Caffe2's arrays.*BGR"),
        ("a.pkl", lambda: pickle.dumps({"experiment_state": {"online_params": {}}}), "JAX's arrays"),
        ("a.pdparams", lambda: pickle.dumps({"StructuredToParameterName@@": {}, "a": np.ones(3)}), "PaddlePaddle"),
        ("a.params", lambda: b"\x12\x01" + bytes(14) + b"\xa1" + bytes(99), "MXNet"),
        ("a.caffemodel", lambda: b"\x0a\x0bResNet-50" + bytes(99), "Caffe's network"),
        ("a.msgpack", lambda: b"\x83\xa6params" + bytes(99), "Flax"),
        ("a.tflite", lambda: b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite"),
        ("a.keras", lambda: zipped("model.weights.h5", b"x"), "Keras"),
        ("a.pt2", lambda: zipped("a/archive_format", b"pt2"), r"torch\.export\.load"),
        ("a.pth", lambda: b'{"error": "Repository not found"}', "JSON"),
        ("a.xml", lambda: b"<?xml version='1.0'?><net>", "OpenVINO"),
        ("a.pth.part", lambda: b"PK\x03\x04" + bytes(99), "unfinished download"),
        ("a.onnx", lambda: b"\x08\x07\x12\x07pytorch\x1a\x032.1", "ONNX"),
        ("a.ckpt-250228.index", lambda: b"\x00\x00\x02\x08\x01" * 50, "TensorFlow"),
        ("a.h5", lambda: b"\x89HDF\r\n\x1a\n", "HDF5"),
    ],
)
def test_other_kinds_of_files_are_named_with_the_next_step(name: str, content: Any, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content())
    with pytest.raises(UserError, match=f"not a checkpoint.*{says}") as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth", "model"])
def test_safetensors_are_known_by_their_content(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({**STATE, "eighth": torch.ones(3).to(torch.float8_e4m3fn)}, tmp_path / name)
    read = read_checkpoint(tmp_path / name)
    assert torch.equal(read["conv.weight"], STATE["conv.weight"]) and read["eighth"].dtype == torch.float8_e4m3fn


@pytest.mark.parametrize("zipped_file", [True, False])
@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.npz", "model.pkl", "model.zip", "model"])
def test_torchs_files_are_known_by_their_content(name: str, zipped_file: bool, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / name, _use_new_zipfile_serialization=zipped_file)
    assert equal(read_checkpoint(tmp_path / name), STATE)


def test_wrapped_safetensors_are_the_network_in_them(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {key: value.contiguous() for key, value in flat_state().items()}
    save_file(prefixed(state, "module.backbone.") | {"module.fc.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    backbone = load_backbone(tmp_path / "a.safetensors")
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())


def test_folder_of_other_files_names_them(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "step-100.ckpt")
    with pytest.raises(UserError, match=r"folder without model\.safetensors.*give one of its files \(step-100\.ckpt\)"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("adapter_config.json", "adapter alone.*merge_and_unload"),
        ("latest", r"zero_to_fp32\.py"),
        ("checkpoint", "a TensorFlow checkpoint"),
        ("flax_model.msgpack", "Flax's weights"),
        ("data.pkl", "unpacked checkpoint"),
    ],
)
def test_folders_of_other_libraries_are_named(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=f"{tmp_path} holds .*{says}"):
        read_checkpoint(tmp_path)


def test_file_of_nothing_but_zeros_is_an_unfinished_download(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(bytes(5000))
    with pytest.raises(UserError, match=r"not a checkpoint but zeros.*download it again"):
        read_checkpoint(tmp_path / "model.pth")


def sharded(folder: Path) -> Path:
    from safetensors.torch import save_file

    names = {}
    for index, (key, value) in enumerate(STATE.items()):
        names[key] = f"model-0000{index + 1}-of-00002.safetensors"
        save_file({key: value}, folder / names[key])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder / "model.safetensors.index.json"


def test_hugging_face_folder_and_index_are_one_checkpoint(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    assert equal(read_checkpoint(tmp_path), STATE) and equal(read_checkpoint(index), STATE)
    before = sha256_of(tmp_path)
    assert before == sha256_of(index)
    part = tmp_path / "model-00002-of-00002.safetensors"
    part.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"names model-00002-of-00002\.safetensors, which is not beside it"):
        read_checkpoint(index)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere"}}))
    with pytest.raises(UserError, match="not beside it"):
        read_checkpoint(index)
    index.unlink()
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    assert equal(read_checkpoint(tmp_path), STATE) and sha256_of(tmp_path) != before
