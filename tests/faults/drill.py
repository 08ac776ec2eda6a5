"""SIGKILL, SIGTERM and Ctrl-C at random moments of every command, each started again until it ends.

By hand, for half an hour or more: ``python -m tests.faults.drill OUT [COMMAND ...]``. For each command it prints how
often it was ended and when, and what differs from an undisturbed run, is left over, or still runs.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.kills import differences

ROOT = Path(__file__).resolve().parents[2]
POLITE = (signal.SIGTERM, signal.SIGINT)
# Of which a polite end may be the exit code: by the signal itself, or as the command says that it was asked to stop.
ENDS = {0, 130, 143, 75, -signal.SIGTERM, -signal.SIGINT}
ORPHAN_SECONDS = 30.0  # a trials' server whose command was killed ends its imports first


@dataclass(frozen=True)
class Command:
    """A command line, in which ``{out}`` is a folder of its own.

    Attributes:
        kills: how often the drill kills it.
        measures: files that say how long something took, and so are not compared.
        at_once: how many of it run side by side in the end.
    """

    line: str
    kills: int
    measures: str = "(?!)"
    at_once: int = 1


@dataclass
class Drilled:
    """What came of it: how often it was killed and asked to stop, and everything that should not be."""

    kills: int = 0
    asked: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def commands(data: Path, checkpoint: Path, runs: Path) -> dict[str, Command]:
    """Every command that writes.

    Args:
        data: the digits in all layouts.
        checkpoint: of a ResNet-18.
        runs: a folder with records.
    """
    small = "epochs=2 self_labeling.epochs=1 self_labeling.warmup_epochs=1 momentum_encoder.enabled=true"
    small += " data.batch_size=16 model.hidden=8 model.num_classes=4 crops.num_local=0 crops.global_size=28"
    small += " run.keep_epochs=1 run.num_workers=1"
    first = small.replace("self_labeling.epochs=1 ", "")  # an ablation trains the first stage alone
    trial = f"random:resnet18 --trials 1 --device cpu --data {data} --out {{out}}"
    few = "train_cfg.max_iters=2"
    publish = f"-m transfer.commands.publish {checkpoint} --arch resnet18 --report {runs}/report.json"
    two = "random=random:resnet18 --only demo-linear demo-cluster --report"
    return {
        "data": Command("-m twist_common.digits --out {out}/digits", 10),
        "publish": Command(f"{publish} --out {{out}}/card", 8),
        "publish_timm": Command(f"{publish} --to timm --out {{out}}/card", 2),
        "report": Command(f"-m transfer.commands.report {runs} --out {{out}}", 14),
        "pack": Command(f"-m transfer.commands.report {runs} --out {{out}} --pack {{out}}/trials.tar.gz", 2),
        "verify": Command(f"-m transfer.commands.report {runs} --verify {runs}/report.json", 2),
        "plan": Command(f"-m transfer.commands.transfer_cls demo-linear {trial} --plan --from {runs}", 2),
        "preflight": Command("-m tools.first_hour.main driver --device cpu --out {out}", 2, measures="preflight.json"),
        "check_data": Command(f"-m transfer.commands.check_data digits --data {data}", 10),
        "convert": Command(f"-m transfer.commands.convert {checkpoint} --arch resnet18 --to all --out {{out}}", 12),
        "pretrain": Command(
            f"-m pretrain.train demo --device cpu --data {data.parent / 'few'} --out {{out}} {small}",
            16,
            measures=r"metrics\.jsonl|checkpoint.*\.pth|\.lock",
        ),
        "linear": Command(f"-m transfer.commands.transfer_cls demo-linear {trial}", 10, at_once=2),
        "knn": Command(f"-m transfer.commands.transfer_cls demo-knn {trial}", 8),
        "finetune": Command(f"-m transfer.commands.transfer_cls demo-1pct {trial}", 6),
        "suite": Command(f"-m transfer.commands.suite demo {two} {trial.partition(' ')[2]}", 2, measures=r"report\..*"),
        "ablate": Command(
            f"-m transfer.commands.ablate nbs --device cpu --data {data.parent / 'few'} --out {{out}} {first}",
            2,
            measures=r"metrics\.jsonl|checkpoint.*\.pth|\.lock|report\..*|ablation\.json",
        ),
        "cluster": Command(f"-m transfer.commands.cluster demo {trial}", 6),
        "segmentation": Command(f"-m transfer.commands.transfer_seg demo {trial} {few}", 4),
        "detection": Command(f"-m transfer.commands.transfer_det demo-voc {trial} SOLVER.MAX_ITER=2", 4),
    }


def drill(command: Command, out: Path, *, seed: int) -> Drilled:
    """Runs it undisturbed, then killed and asked to stop at moments spread over its time, then to its end."""
    moments, found, whole, killed = random.Random(seed), Drilled(), out / "whole", out / "killed"
    began = time.monotonic()
    if code := start(command, whole).wait():
        return Drilled(wrong=[f"undisturbed it ends with {code}"])
    found.seconds = time.monotonic() - began
    signals = [signal.SIGKILL] * command.kills + list(POLITE)
    moments.shuffle(signals)
    while signals:
        log = out / "stderr.txt"
        with log.open("w") as stderr:
            process = start(command, killed, stderr)
            try:
                process.wait(moments.uniform(0.0, found.seconds))
            except subprocess.TimeoutExpired:
                number = signals.pop()
                process.send_signal(number)
                code = process.wait()
                found.kills += number == signal.SIGKILL
                found.asked += number != signal.SIGKILL
                if number != signal.SIGKILL and (code not in ENDS or "Traceback" in log.read_text()):
                    found.wrong.append(f"after {number.name}: exit code {code}, {log.read_text()[-300:]!r}")
            else:
                if process.returncode:
                    found.wrong.append(f"started again it ends with {process.returncode}: {log.read_text()[-300:]!r}")
                shutil.rmtree(killed)  # it came to its end: once more from nothing
        found.wrong += [f"still runs: {line}" for line in orphans(killed)]
    last = [start(command, killed) for _ in range(command.at_once)]
    found.wrong += [f"in the end it ends with {code}" for process in last if (code := process.wait())]
    ignored = re.compile(command.measures)
    found.wrong += [
        line for line in differences(whole, killed) if not ignored.search(line.split()[1].rpartition("/")[2])
    ]
    found.wrong += [f"left: {path}" for path in killed.rglob("*") if re.search(r"\.tmp|claim", path.name)]
    return found


def start(
    command: Command, out: Path, stderr: object = subprocess.DEVNULL, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """The command, with ``out`` for its ``{out}``, its cache and whatever else the environment says."""
    out.mkdir(parents=True, exist_ok=True)
    line = [word.replace("{out}", str(out)) for word in command.line.split()]
    own = {"XDG_CACHE_HOME": str(out / "cache"), "MPLCONFIGDIR": str(out.parent / "matplotlib")}
    usual = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    whole = {**os.environ, **own, **usual, **(environment or {})}
    return subprocess.Popen([sys.executable, *line], env=whole, stdout=subprocess.DEVNULL, stderr=stderr)  # type: ignore[call-overload,no-any-return]


def orphans(out: Path) -> Sequence[str]:
    """Processes that work in the folder after the command has ended, and do not end by themselves."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while found := [each for each in _processes() if f"XDG_CACHE_HOME={out / 'cache'}" in each[1]]:
        if time.monotonic() > deadline:
            return [f"{pid} {command}" for pid, _, command in found]
        time.sleep(0.05)
    return []


def _processes() -> list[tuple[str, str, str]]:
    """Number, environment and command of every process of this user."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(folder / name).read_bytes().replace(b"\0", b"\n").decode() for name in ("environ", "cmdline")]
        except (OSError, UnicodeDecodeError):
            continue
        if texts[1]:
            found.append((folder.name, texts[0], texts[1].replace("\n", " ")[:100]))
    return found


def commands_with_inputs(inputs: Path) -> dict[str, Command]:
    """The commands, and in the folder what they read."""
    import torch
    from torchvision.models import resnet18

    from tests.report_records import trials
    from transfer.commands.report import write_report
    from twist_common.digits import generate
    from twist_common.files import sha256_file

    generate(inputs / "digits")
    for split in ("train", "val"):
        for name in "017":
            (inputs / "few" / split / name).mkdir(parents=True, exist_ok=True)
            for path in sorted((inputs / "digits/imagefolder" / split / name).iterdir())[:20]:
                shutil.copy(path, inputs / "few" / split / name)
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=10).state_dict(), inputs / "resnet18.pth")
    measured = sha256_file(inputs / "resnet18.pth")
    for record in [*trials([50.0, 51.0, 52.0], weights="random-resnet18"), *trials([60.0, 61.0, 62.5])]:
        if record.weights.name == "twist":  # what publish finds in the report
            record = replace(record, weights=replace(record.weights, sha256=measured)).sealed()
        record.save(inputs / "runs" / record.weights.name / f"trial-{record.seed}" / "record.json")
    write_report([inputs / "runs"])
    return commands(inputs / "digits", inputs / "resnet18.pth", inputs / "runs")


def main() -> int:
    out = Path(sys.argv[1]).resolve()
    drilled: dict[str, Drilled] = {}
    for name, command in commands_with_inputs(out / "inputs").items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        found = drilled[name] = drill(command, out / name, seed=len(drilled))
        print(f"{name}: {found.kills} killed, {found.asked} asked, {found.seconds:.0f} s undisturbed", flush=True)
        print("".join(f"  {line}\n" for line in found.wrong), end="", flush=True)
    kills = sum(found.kills for found in drilled.values())
    wrong = sum(len(found.wrong) for found in drilled.values())
    print(f"{kills} kills of {len(drilled)} commands: {wrong} things wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
