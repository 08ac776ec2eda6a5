"""What tasks start from: converted once, the same bytes whoever converts, and never anything but the checkpoint."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import flat_state, trained_like
from tests.conftest import ROOT, run_module
from transfer import benchmarks
from transfer.commands.convert import Args, main
from transfer.commands.reading import ReadingArgs
from transfer.trial import Trial, WeightsRef
from transfer.weights.backbone import load_backbone, random_backbone
from transfer.weights.convert.convert import RESNET_TARGETS, converted_weights, read_proofs
from transfer.weights.convert.target import key_table
from transfer.weights.of_trial import torch_backbone
from twist_common.errors import UserError
from twist_common.files import sha256_file, sha256_text

pytestmark = pytest.mark.usefixtures("one_thread")

TARGET = "torchvision"  # the quickest to import; the steps are the same for every target


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "model.pth"
    torch.save(trained_like("resnet18").state_dict, path)
    return path


def make_trial(source: str | Path, folder: Path, *, seed: int = 0, **changes: Any) -> Trial:
    source = str(source)
    sha256 = sha256_text(source) if source.startswith("random:") else sha256_file(Path(source))
    weights = WeightsRef(**{"name": "my model", "source": source, "sha256": sha256, **changes})
    return Trial(
        benchmark=benchmarks.get("demo-linear"),
        weights=weights,
        seed=seed,
        data=folder,
        overrides=(),
        device="cpu",
        work_dir=folder,
        weights_dir=folder,
    )


def test_second_trial_takes_what_the_first_converted(checkpoint: Path, tmp_path: Path) -> None:
    first = converted_weights(make_trial(checkpoint, tmp_path), TARGET)
    written = first.path.stat().st_mtime_ns
    second = converted_weights(make_trial(checkpoint, tmp_path, seed=1), TARGET)
    assert second == first and second.path.stat().st_mtime_ns == written
    assert (first.arch, first.source_format) == ("resnet18", "plain ResNet without classifier")
    assert first.sha256 == sha256_file(first.path)
    assert read_proofs(first.proof_path)[TARGET] == first.proof


def test_weights_that_are_not_the_proofs_are_converted_again(checkpoint: Path, tmp_path: Path) -> None:
    trial = make_trial(checkpoint, tmp_path)
    first = converted_weights(trial, TARGET)
    damaged = bytearray(first.path.read_bytes())
    damaged[-5] ^= 1
    first.path.write_bytes(damaged)
    again = converted_weights(trial, TARGET)
    assert again.sha256 == first.sha256 == sha256_file(again.path)


def test_weights_without_proof_are_converted_again(checkpoint: Path, tmp_path: Path) -> None:
    trial = make_trial(checkpoint, tmp_path)
    first = converted_weights(trial, TARGET)
    first.proof_path.unlink()
    assert converted_weights(trial, TARGET) == first
    assert first.proof_path.is_file()


def test_weights_proved_for_another_architecture_than_the_trials_are_not_used(checkpoint: Path, tmp_path: Path) -> None:
    converted_weights(make_trial(checkpoint, tmp_path), TARGET)
    with pytest.raises(UserError, match="holds a resnet18, not a resnet50"):
        converted_weights(make_trial(checkpoint, tmp_path, arch="resnet50"), TARGET)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"settings": {"model": "resnet50"}}, "model: resnet50 -> resnet18"),
        ({"mean": [0.5, 0.5, 0.5]}, r"mean: \[0\.485"),
        ({"stages": {}}, "says nothing of stem"),
    ],
)
def test_proof_that_was_edited_is_refused(changes: dict[str, Any], says: str, checkpoint: Path, tmp_path: Path) -> None:
    trial = make_trial(checkpoint, tmp_path)
    proof_path = converted_weights(trial, TARGET).proof_path
    content = json.loads(proof_path.read_text())
    proof = content["proofs"][TARGET]
    for name, value in changes.items():
        proof[name] = {**proof[name], **value} if name == "settings" else value
    proof_path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=says):
        converted_weights(trial, TARGET)


def test_framework_that_lacks_the_architecture_is_refused_in_one_sentence(tmp_path: Path) -> None:
    torch.save(flat_state("resnet50w2"), tmp_path / "model.pth")
    with pytest.raises(UserError, match="torchvision has no resnet50w2"):
        converted_weights(make_trial(tmp_path / "model.pth", tmp_path), TARGET)


def test_damaged_proof_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    trial = make_trial(checkpoint, tmp_path)
    proof_path = converted_weights(trial, TARGET).proof_path
    proof_path.write_text('{"schema_version": 2, "proofs": {"torchvision": {}}}')
    with pytest.raises(UserError, match="is not a proof file"):
        converted_weights(trial, TARGET)


def test_checkpoint_that_changed_since_planning_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    trial = make_trial(checkpoint, tmp_path, sha256="0" * 64)
    with pytest.raises(UserError, match="has changed since the trials were planned"):
        converted_weights(trial, TARGET)
    with pytest.raises(UserError, match="has changed since the trials were planned"):
        torch_backbone(trial)


def test_random_weights_are_another_draw_for_each_seed(tmp_path: Path) -> None:
    first, second = (converted_weights(make_trial("random:resnet18", tmp_path, seed=s), TARGET) for s in (1, 2))
    assert first.path != second.path and first.sha256 != second.sha256
    assert first.source_format == "random"
    assert converted_weights(make_trial("random:resnet18", tmp_path, seed=1), TARGET) == first


def test_unknown_target_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'detectron2'"):
        converted_weights(make_trial(checkpoint, tmp_path), "detectron")


def test_torch_backbone_holds_the_checkpoints_tensors_and_leaves_the_generator(
    checkpoint: Path, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    module, backbone = torch_backbone(make_trial(checkpoint, tmp_path))
    assert torch.equal(torch.get_rng_state(), before)
    source = torch.load(checkpoint, weights_only=True)
    assert module.state_dict().keys() == source.keys() == backbone.state_dict.keys()
    assert all(torch.equal(tensor, source[key]) for key, tensor in module.state_dict().items())


def test_random_torch_backbone_is_drawn_from_the_trials_seed(tmp_path: Path) -> None:
    module, _ = torch_backbone(make_trial("random:resnet18", tmp_path, seed=3))
    assert torch.equal(module.conv1.weight, random_backbone("resnet18", 3).state_dict["conv1.weight"])


WRITE = """
import sys
from pathlib import Path
from twist_common.files import sha256_file
from transfer.weights.backbone import load_backbone
from transfer.weights.convert.convert import RESNET_TARGETS
from transfer.weights.convert.target import key_table
backbone = load_backbone(sys.argv[1])
for name, target in RESNET_TARGETS.items():
    path = Path(sys.argv[2], f"other-name.{target.suffix}")
    target.write(path, key_table(target, backbone.arch).forward(backbone.state_dict), backbone)
    print(name, sha256_file(path))
"""


def test_two_processes_write_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    other = subprocess.run(
        [sys.executable, "-c", WRITE, str(checkpoint), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = dict(line.split() for line in other.stdout.splitlines())
    state = torch.load(checkpoint, weights_only=True)
    reordered = tmp_path / checkpoint.name
    torch.save(dict(reversed(state.items())), reordered)  # the order of the source must not matter
    backbone = dataclasses.replace(load_backbone(reordered), sha256=sha256_file(checkpoint))
    for name, target in RESNET_TARGETS.items():
        path = tmp_path / f"weights.{target.suffix}"
        target.write(path, key_table(target, backbone.arch).forward(backbone.state_dict), backbone)
        assert sha256_file(path) == theirs[name], name


def test_two_trials_that_convert_at_the_same_time_both_get_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    trial = make_trial(checkpoint, tmp_path)
    context = multiprocessing.get_context("fork")  # as the trial runner does
    pair = [context.Process(target=converted_weights, args=(trial, TARGET)) for _ in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(timeout=300)
    assert [process.exitcode for process in pair] == [0, 0]
    files = sorted(path.name for path in (tmp_path / TARGET).iterdir())
    assert len(files) == 2, f"weights and proof, nothing half written: {files}"
    result = converted_weights(trial, TARGET)
    assert result.sha256 == sha256_file(result.path)
    assert read_proofs(result.proof_path)[TARGET] == result.proof


# ---- the command -----------------------------------------------------------------------------------


def test_command_writes_weights_and_proof_and_prints_every_stage(checkpoint: Path, tmp_path: Path) -> None:
    done = run_module("transfer.commands.convert", checkpoint, "--to", TARGET, "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"model.torchvision.safetensors", "model.proof.json"}
    for words in (
        "stem",
        "res2",
        "res3",
        "res4",
        "res5",
        "0.0e+00",
        "model.torchvision.safetensors",
        "model.proof.json",
    ):
        assert words in done.stdout


def test_command_refuses_the_wrong_architecture_and_writes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="holds a resnet18, not a resnet50"):
        main(Args(checkpoint, reading=ReadingArgs(arch="resnet50"), out=out))
    assert not out.exists()
