"""``tools/publish.sh``: a converted checkpoint as a model folder with a card, ready for a hub. Nothing is uploaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from common import cli
from common.errors import UserError
from common.files import atomic_path, make_dir, sha256_file, write_text
from transfer.report.lay_out import format as fmt
from transfer.report.write.data import read_json

COMMAND = "tools/publish.sh"
CARD = "README.md"
PROOF = "proof.json"
REPORT = "report.json"
MAX_NAMED = 5  # weights in an error's one sentence


@dataclass
class Args:
    """Writes a folder with the converted weights, their proof, the report and a Hugging Face style model card.

    The card's table and its model-index hold what was measured with this checkpoint, on protocol, and nothing else.
    Nothing is uploaded.

    examples:
      tools/publish.sh runs/pretrain/demo/backbone.pth --report runs/report.json --out published/demo
      tools/publish.sh weights/twist.mmseg.pth --report runs/report.json --out published/twist-mmseg
    """

    checkpoint: Annotated[Positional[Path], arg(metavar="CKPT|CONVERTED")]
    """a checkpoint, or a weight file that tools/convert.sh wrote, with its proof beside it"""
    report: Annotated[Path, arg(metavar="REPORT.JSON")]
    """the report that has measured it"""
    out: Path
    """folder of the card; made if it is missing"""
    to: Literal["detectron2", "mmseg", "torchvision", "timm"] = "torchvision"
    """framework to convert a checkpoint for; not used for a file that is converted already"""
    which: Literal["student", "teacher"] = "student"
    """the network to take where a checkpoint holds both"""
    license: str | None = None
    """licence of the weights, as the hub names it, e.g. apache-2.0"""


@dataclass(frozen=True)
class Weights:
    """A converted file. ``proof``: this target's, as ``<stem>.proof.json`` holds it."""

    path: Path
    proof: dict[str, Any]


def main(args: Args) -> None:
    report = read_json(args.report)
    found = find_converted(args.checkpoint)
    source = found.proof["source"]["sha256"] if found else sha256_file(args.checkpoint)
    measured = measured_rows(report, source, args.report)
    out = make_dir(args.out)
    weights = found or _convert(args, out)
    if weights.path.resolve() != (out / weights.path.name).resolve():
        with atomic_path(out / weights.path.name) as temporary:
            shutil.copyfile(weights.path, temporary)
    write_text(out / PROOF, json.dumps(weights.proof, indent=1) + "\n")
    write_text(out / REPORT, args.report.read_text(encoding="utf-8"))
    write_text(out / CARD, model_card(weights, measured, out.resolve().name, args.license))
    print(out / CARD)


def find_converted(path: Path) -> Weights | None:
    """The weight file with its proof, if that is what the path names; None for any other checkpoint.

    Raises:
        UserError: there is no such file, or its bytes are not those that its proof is about.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file: name a checkpoint or a converted weight file")
    for proof_path in sorted(path.parent.glob("*.proof.json")):
        if not path.name.startswith(proof_path.name.removesuffix("proof.json")):
            continue
        content = json.loads(proof_path.read_text(encoding="utf-8"))
        for target, proof in content.get("proofs", {}).items():
            if f".{target}." not in path.name:
                continue
            if proof["weights_sha256"] != sha256_file(path):
                raise UserError(f"{path} is not the file that {proof_path} proves: convert the checkpoint again")
            return Weights(path, proof)
    return None


def _convert(args: Args, out: Path) -> Weights:
    from transfer.weights.backbone import load_backbone
    from transfer.weights.convert.convert import convert, get_target

    backbone = load_backbone(args.checkpoint, args.which)
    converted = convert(backbone, get_target(args.to, backbone.arch), out, args.checkpoint.stem)
    converted.proof_path.unlink()  # its content goes into the folder's own proof.json
    return Weights(converted.path, converted.proof)


def measured_rows(report: dict[str, Any], source: str, where: Path) -> list[dict[str, Any]]:
    """What the report measured on protocol with a checkpoint: dicts with the benchmark's and the row's fields.

    Args:
        source: SHA-256 of the checkpoint's file.
        where: of the report, for errors.

    Raises:
        UserError: the report has nothing of these weights.
    """
    rows = [
        {"benchmark": benchmark, "row": row}
        for benchmark in report["benchmarks"]
        for row in benchmark["weights"]
        if row["sha256"] == source and row["on_protocol"] and any(each["n"] for each in row["metrics"].values())
    ]
    if not rows:
        known = sorted({f"{row['label']} ({row['sha256'][:8]})" for b in report["benchmarks"] for row in b["weights"]})
        raise UserError(
            f"{where} has no trial on protocol of the checkpoint {source[:8]}: run its transfer trials and report "
            f"again (it has {', '.join(known[:MAX_NAMED])}{', …' if len(known) > MAX_NAMED else ''})"
        )
    return rows


def model_card(weights: Weights, measured: Sequence[dict[str, Any]], name: str, licence: str | None) -> str:
    """``README.md``: front matter with the model-index, then what a reader must know."""
    import yaml

    proof = weights.proof
    matter: dict[str, Any] = {
        "library_name": {"timm": "timm"}.get(proof["target"], "pytorch"),
        "tags": ["self-supervised-learning", "backbone", proof["arch"], proof["target"]],
        **({"license": licence} if licence else {}),
        "model-index": [{"name": name, "results": list(_results(measured))}],
    }
    front = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n# {_plain(name)}\n\n" + "\n\n".join(_body(weights, measured)) + "\n"


def _results(measured: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Entries of the model-index: one for each benchmark, all its metrics with mean, spread and number of trials."""
    for each in measured:
        benchmark, row = each["benchmark"], each["row"]
        yield {
            "task": {"type": _task(benchmark["main_metric"]), "name": benchmark["title"]},
            "dataset": {"type": benchmark["benchmark"], "name": benchmark["title"]},
            "metrics": [
                {
                    "type": name,
                    "name": f"{fmt.metric_title(name)}, mean of {fmt.plural(figures['n'], 'trial')}",
                    "value": round(figures["mean"], 4),
                }
                for name, figures in row["metrics"].items()
                if figures["n"]
            ],
        }


TASKS = {"box": "object-detection", "mask": "image-segmentation", "miou": "image-segmentation"}


def _task(main_metric: str) -> str:
    """The hub's name of the task that a metric belongs to."""
    return TASKS.get(main_metric.split("_")[0], "image-classification")


def _body(weights: Weights, measured: Sequence[dict[str, Any]]) -> Iterator[str]:
    proof = weights.proof
    source = proof["source"]
    largest = max(float(stage["max_abs_difference"]) for stage in proof["stages"].values())
    yield (
        f"A {_plain(proof['arch'])} backbone for {_plain(proof['target'])}, converted from {_plain(source['file'])} "
        f"({_plain(source['format'])}, {_plain(source['which'])}). {_plain(proof['target'])}'s own backbone, loaded "
        f"from this file, gave the source's feature maps at every stage: largest difference {largest:.3g}, rule "
        f"{_plain(proof['rule'])}."
    )
    yield "## Measured"
    yield _table(measured)
    yield (
        "In percent, mean ± sample standard deviation (trials), on protocol. Differences are paired by seed, with "
        f"their 95 % interval. Every trial is in [{REPORT}]({REPORT})."
    )
    yield "## Files"
    yield "\n".join(
        [
            f"- `{weights.path.name}`: SHA-256 `{proof['weights_sha256']}`",
            f"- `{PROOF}`: the conversion's proof; source SHA-256 `{source['sha256']}`",
            f"- `{REPORT}`: every trial and statistic",
        ]
    )
    yield "## Input"
    yield (
        f"{proof['colour_order']} images, mean {_numbers(proof['mean'])}, standard deviation {_numbers(proof['std'])}."
    )


def _table(measured: Sequence[dict[str, Any]]) -> str:
    lines = ["| Benchmark | Metric | Result | Difference | To |", "| --- | --- | ---: | ---: | --- |"]
    for each in measured:
        benchmark, row = each["benchmark"], each["row"]
        for name, figures in row["metrics"].items():
            if not figures["n"]:
                continue
            spread = f" ± {fmt.number(figures['sd'])}" if figures["sd"] is not None else ""
            lines.append(
                f"| {_plain(benchmark['title'])} | {_plain(fmt.metric_title(name))} "
                f"| {fmt.number(figures['mean'])}{spread} ({figures['n']}) | {_difference(row, name)} "
                f"| {_plain(row['baseline'] or '')} |"
            )
    return "\n".join(lines)


def _difference(row: dict[str, Any], metric: str) -> str:
    summary = row["differences"].get(metric, {}).get("summary")
    if not summary or summary["mean"] is None:
        return ""
    bounds = summary["interval"]
    shown = f" [{fmt.signed(bounds['low'])}, {fmt.signed(bounds['high'])}]" if bounds else ""
    return fmt.signed(summary["mean"]) + shown


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _plain(text: str) -> str:
    from transfer.report.write.markdown import escape

    return escape(str(text))


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
