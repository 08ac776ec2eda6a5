"""A published folder: timm loads it by its name, and the hub gets all of it."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import timm
import torch

from tests.backbones import trained_like
from tests.conftest import ROOT
from tests.report_records import done, save
from transfer.commands import publish
from transfer.commands.report import write_report
from transfer.weights.backbone import load_backbone
from transfer.weights.backbone.network import build_network
from twist_common.files import sha256_file

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
NAMES = {"config.json", "model.safetensors", "proof.json", "report.json", "README.md"}


def published(arch: str, folder: Path) -> tuple[Path, Path]:
    """The checkpoint, and its folder for the hub."""
    checkpoint = folder / "mine.pth"
    torch.save(trained_like(arch).state_dict, checkpoint)
    record = done(50.0)
    weights = dataclasses.replace(record.weights, sha256=sha256_file(checkpoint), arch=arch)
    report = write_report([save([dataclasses.replace(record, weights=weights)], folder / "runs")])[1]
    reading = publish.ReadingArgs(arch=arch, mean=MEAN, std=STD)
    args = publish.Args(
        checkpoint=checkpoint, report=report.with_suffix(".json"), out=folder / "out", to="timm", reading=reading
    )
    publish.main(args)
    return checkpoint, folder / "out"


@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224"])
def test_timm_loads_the_folder_by_its_name(arch: str, tmp_path: Path) -> None:
    checkpoint, out = published(arch, tmp_path)
    assert {path.name for path in out.iterdir()} == NAMES
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    assert [model.pretrained_cfg[name] for name in ("mean", "std")] == [list(MEAN), list(STD)]
    backbone = load_backbone(checkpoint, arch=arch, reading=publish.ReadingArgs(mean=MEAN, std=STD).reading())
    source = build_network(backbone.arch)
    source.load_state_dict(backbone.state_dict)
    got, expected = model.state_dict(), source.state_dict()
    assert got.keys() == expected.keys() and all(torch.equal(got[key], expected[key]) for key in got)
    assert model(torch.zeros(1, 3, 224, 224)).shape == (1, model.num_features)


class Hub(BaseHTTPRequestHandler):
    """What huggingface_hub asks of a hub for an upload of small files."""

    received: ClassVar[dict[str, bytes]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            asked = json.loads(body)
            self._answer({"url": f"http://{self.headers['Host']}/{asked['organization']}/{asked['name']}"})
        elif "/preupload/" in self.path:
            files = [{"path": each["path"], "uploadMode": "regular"} for each in json.loads(body)["files"]]
            self._answer({"files": [{**each, "shouldIgnore": False, "oid": None} for each in files]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.received[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer(
                {
                    "commitUrl": f"http://{self.headers['Host']}/lab/mine/commit/{'1' * 40}",
                    "commitOid": "1" * 40,
                    "success": True,
                }
            )
        else:
            self._answer({})

    def do_GET(self) -> None:
        self._answer({"sha": "0" * 40, "id": "lab/mine", "siblings": [], "tags": [], "private": False})

    def _answer(self, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def push(out: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client reads the hub's address when it is imported."""
    code = (
        "import sys, pathlib; from transfer.commands.to_hub import push;"
        "print(push(pathlib.Path(sys.argv[1]), ['config.json', 'README.md'], 'lab/mine'))"
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_nobody", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, out], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_hub_gets_the_files_that_were_published_and_no_others(hub: str, tmp_path: Path) -> None:
    for name in ("config.json", "README.md", "notes.txt"):
        (tmp_path / name).write_text(f"what {name} says")
    done = push(tmp_path, hub)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("lab/mine")
    received = {name: content.decode() for name, content in Hub.received.items()}
    assert received == {name: f"what {name} says" for name in ("config.json", "README.md")}


def test_without_a_network_the_folder_is_whole_and_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("card")
    done = push(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 1 and "UserError: lab/mine was not uploaded" in done.stderr
    assert "hf auth login" in done.stderr.strip().splitlines()[-1]
