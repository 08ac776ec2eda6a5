"""``tools/publish.sh``: a converted checkpoint as a model folder with a card, ready for a hub."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from transfer.commands import to_hub
from transfer.commands.reading import ReadingArgs
from transfer.report.compare.statistics import Interval, SampleSummary
from transfer.report.lay_out import format as fmt
from transfer.report.signature import sign
from transfer.report.write.data import read_json
from transfer.report.write.forms import REPORT_JSON, REPORT_SIGNATURE
from transfer.report.write.markdown import escape
from transfer.timm_source import named_checkpoint
from transfer.weights.backbone.read import sha256_of
from twist_common import cli
from twist_common.errors import UserError
from twist_common.files import atomic_path, make_dir, sha256_file, write_text

COMMAND = "tools/publish.sh"
CARD = "README.md"
PROOF = "proof.json"
MAX_NAMED = 5  # weights in an error's one sentence
# The hub's name of the task that a metric belongs to, by the metric's first word.
TASKS = {
    "box": "object-detection",
    "mask": "image-segmentation",
    "miou": "image-segmentation",
    "rmse": "depth-estimation",
}

Measured = tuple[dict[str, Any], dict[str, Any]]  # a benchmark of report.json, and one of its rows


@dataclass
class Args:
    """Writes a folder with the converted weights, their proof, the report and a Hugging Face style model card.

    The card's table and its model-index hold what was measured with this checkpoint, on protocol, and nothing else.
    With --to timm, timm.create_model("hf_hub:OWNER/NAME", pretrained=True) loads it, or "local-dir:FOLDER" before it is
    uploaded. Nothing is uploaded without --push.

    examples:
      tools/publish.sh runs/pretrain/demo/backbone.pth --report runs/report.json --out published/demo
      tools/publish.sh ckpt.pth --report runs/report.json --to timm --out twist-rn50 --push lab/twist-rn50
      tools/publish.sh weights/twist.mmseg.pth --report runs/report.json --out published/twist-mmseg
    """

    checkpoint: Annotated[Positional[Path], arg(metavar="CKPT|CONVERTED")]
    """a checkpoint, or a weight file that tools/convert.sh wrote, with its proof beside it"""
    report: Annotated[Path, arg(metavar="REPORT.JSON")]
    """the report that has measured it"""
    out: Path
    """folder of the card; made if it is missing"""
    to: Literal["detectron2", "detectron2-any", "mmseg", "mmseg-any", "mmseg-last", "torchvision", "timm"] = (
        "torchvision"
    )
    """framework to convert a checkpoint for; not used for a file that is converted already"""
    reading: ReadingArgs = field(default_factory=ReadingArgs)
    license: str | None = None
    """licence of the weights, as the hub names it, e.g. apache-2.0"""
    sign: Annotated[Path | None, arg(metavar="KEY")] = None
    """signs the report with this SSH key (ssh-keygen -Y sign); without it a signature beside the report is kept"""
    push: Annotated[str | None, arg(metavar="OWNER/NAME")] = None
    """uploads the folder to this repository on Hugging Face's hub; `hf auth login` first"""


@dataclass(frozen=True)
class ConvertedWeights:
    """A converted file. ``proof``: this target's, as ``<stem>.proof.json`` holds it."""

    path: Path
    proof: dict[str, Any]


def main(args: Args) -> None:
    if not args.report.is_file():
        raise UserError(f"there is no {args.report}: write the report with tools/report.sh first")
    if args.push is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", args.push):
        raise UserError(f"--push is {args.push!r}: write OWNER/NAME of a repository on the hub")
    report = read_json(args.report)
    signature = report_signature(args.report, args.sign)
    path, arch = named_checkpoint(str(args.checkpoint), args.reading.arch)
    weights = find_converted(path)
    is_converted_here = weights is None
    source = weights.proof["source"]["sha256"] if weights else sha256_of(path)
    measured = measured_rows(report, source, args.report)
    out = make_dir(args.out)
    if weights is None:
        from transfer.weights.backbone import load_backbone
        from transfer.weights.convert.convert import convert, get_target

        backbone = load_backbone(path, args.reading.which, arch, args.reading.reading())
        converted = convert(backbone, get_target(args.to, backbone.arch), out, path.stem)
        converted.proof_path.unlink()  # its content goes into the folder's own proof.json
        weights = ConvertedWeights(converted.path, converted.proof)
    files, published = [CARD, PROOF, REPORT_JSON], out / weights.path.name
    if weights.proof["target"] == "timm":
        to_hub.write_timm_config(weights.path, weights.proof, out)
        files.append(to_hub.CONFIG)
        published = out / to_hub.TIMM_WEIGHTS
    if weights.path.resolve() != published.resolve():
        with atomic_path(published) as temporary:
            shutil.copyfile(weights.path, temporary)
        if is_converted_here:
            weights.path.unlink()
    write_text(out / PROOF, json.dumps(weights.proof, indent=1) + "\n")
    write_text(out / REPORT_JSON, args.report.read_text(encoding="utf-8"))
    (out / REPORT_SIGNATURE).unlink(missing_ok=True)  # of what was published here before
    if signature is not None:
        with atomic_path(out / REPORT_SIGNATURE) as temporary:
            temporary.write_bytes(signature)
        files.append(REPORT_SIGNATURE)
    weights = ConvertedWeights(published, weights.proof)
    write_text(out / CARD, model_card(weights, measured, out.resolve().name, args.license))
    print(out / CARD)
    if args.push is not None:
        print(to_hub.push(out, [*files, published.name], args.push))


def report_signature(report: Path, key: Path | None) -> bytes | None:
    """A new signature with a key; else the one beside the report, or None."""
    if key is not None:
        return sign(report.read_bytes(), key)
    beside = report.with_name(REPORT_SIGNATURE)
    return beside.read_bytes() if beside.is_file() else None


def find_converted(path: Path) -> ConvertedWeights | None:
    """The weight file with its proof, if that is what the path names; None for any other checkpoint.

    Raises:
        UserError: there is no such file, or its bytes are not those that its proof is about.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: name a checkpoint or a converted weight file")
    for proof_path in sorted(path.parent.glob("*.proof.json")):
        if not path.name.startswith(proof_path.name.removesuffix("proof.json")):
            continue
        content = json.loads(proof_path.read_text(encoding="utf-8"))
        for target, proof in content.get("proofs", {}).items():
            if f".{target}." not in path.name:
                continue
            if proof["weights_sha256"] != sha256_file(path):
                raise UserError(f"{path} is not the file that {proof_path} proves: convert the checkpoint again")
            return ConvertedWeights(path, proof)
    return None


def measured_rows(report: dict[str, Any], source: str, where: Path) -> list[Measured]:
    """What the report measured on protocol with a checkpoint.

    Args:
        source: SHA-256 of the checkpoint's file.
        where: of the report, for errors.

    Raises:
        UserError: the report has no trial of these weights.
    """
    rows = [(benchmark, row) for benchmark in report["benchmarks"] for row in benchmark["weights"]]
    found = [
        (benchmark, row)
        for benchmark, row in rows
        if row["sha256"] == source and row["on_protocol"] and any(each["n"] for each in row["metrics"].values())
    ]
    if not found:
        known = sorted({f"{row['label']} ({row['sha256'][:8]})" for _, row in rows})
        raise UserError(
            f"{where} has no trial on protocol of the checkpoint {source[:8]}: run its transfer trials and report "
            f"again (it has {', '.join(known[:MAX_NAMED])}{', …' if len(known) > MAX_NAMED else ''})"
        )
    return found


def model_card(weights: ConvertedWeights, measured: Sequence[Measured], name: str, licence: str | None) -> str:
    """``README.md``: front matter with the model-index, then what a reader must know."""
    import yaml

    proof = weights.proof
    results = [
        {
            "task": {
                "type": TASKS.get(benchmark["main_metric"].split("_")[0], "image-classification"),
                "name": benchmark["title"],
            },
            "dataset": {"type": benchmark["benchmark"], "name": benchmark["title"]},
            "metrics": [
                {
                    "type": metric,
                    "name": f"{fmt.metric_title(metric)}, mean of {fmt.plural(figures['n'], 'trial')}",
                    "value": round(figures["mean"], 4),
                }
                for metric, figures in row["metrics"].items()
                if figures["n"]
            ],
        }
        for benchmark, row in measured
    ]
    matter: dict[str, Any] = {
        "library_name": "timm" if proof["target"] == "timm" else "pytorch",
        "tags": ["self-supervised-learning", "backbone", proof["arch"], proof["target"]],
        **({"license": licence} if licence else {}),
        "model-index": [{"name": name, "results": results}],
    }
    front = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n# {escape(name)}\n\n" + "\n\n".join(_body(weights, measured)) + "\n"


def _body(weights: ConvertedWeights, measured: Sequence[Measured]) -> list[str]:
    proof = weights.proof
    source = proof["source"]
    largest = max(float(stage["max_abs_difference"]) for stage in proof["stages"].values())
    arch, target = escape(proof["arch"]), escape(proof["target"])
    file, form, network, rule = (
        escape(str(text)) for text in (source["file"], source["format"], source["which"], proof["rule"])
    )
    mean, std = (", ".join(f"{value:g}" for value in proof[each]) for each in ("mean", "std"))
    return [
        f"A {arch} backbone for {target}, converted from {file} ({form}, {network}). {target}'s own backbone, loaded "
        "from this file, gave the source's feature maps at every stage: largest difference "
        f"{largest:.3g}, rule {rule}.",
        "## Measured",
        _table(measured),
        "In percent unless a metric names its unit, mean ± sample standard deviation (trials), on protocol. "
        f"Differences are paired by seed, with their 95 % interval. Every trial is in [{REPORT_JSON}]({REPORT_JSON}).",
        "## Files",
        f"- {escape(weights.path.name)}: SHA-256 `{proof['weights_sha256']}`\n"
        f"- `{PROOF}`: the conversion's proof; source SHA-256 `{source['sha256']}`\n"
        f"- `{REPORT_JSON}`: every trial and statistic",
        "## Input",
        f"{proof['colour_order']} images, mean ({mean}), standard deviation ({std}).",
    ]


def _table(measured: Sequence[Measured]) -> str:
    lines = ["| Benchmark | Metric | Result | Difference | To |", "| --- | --- | ---: | ---: | --- |"]
    for benchmark, row in measured:
        for name, figures in row["metrics"].items():
            if not figures["n"]:
                continue
            result = fmt.summary(SampleSummary(figures["n"], figures["mean"], figures["sd"], None))
            compared = row["differences"].get(name, {}).get("summary") or {"mean": None}
            difference = ""
            if compared["mean"] is not None:
                bounds = compared["interval"]
                shown = f" {fmt.signed_interval(Interval(**bounds))}" if bounds else ""
                difference = fmt.signed(compared["mean"]) + shown
            names = escape(benchmark["title"]), escape(fmt.metric_title(name))
            lines.append(f"| {' | '.join((*names, result, difference, escape(row['baseline'] or '')))} |")
    return "\n".join(lines)


def run() -> None:
    cli.run(Args, main, prog=COMMAND)


if __name__ == "__main__":
    run()
