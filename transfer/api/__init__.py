"""The suite from Python, e.g. in a notebook: ``import transfer``. Names are those of the command lines.

    >>> import transfer
    >>> backbone = transfer.load_backbone("moco_v2_800ep.pth.tar")
    >>> transfer.convert(backbone, "timm", out="weights").path
    >>> transfer.run_trials("demo-linear", "moco_v2_800ep.pth.tar", trials=3)
    >>> transfer.compare(transfer.read_records("runs")).benchmarks[0].best

What is a mistake on a command line raises :class:`twist_common.errors.UserError` here, with the same sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from transfer.record import TrialRecord
from transfer.report.compare.model import WANTED_DIFFERENCE

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Unpack

    from transfer.report.compare.model import Report
    from transfer.weights.backbone import Backbone
    from transfer.weights.convert.convert import Converted


class ReadingOptions(TypedDict, total=False):
    """What a checkpoint does not say itself: the options of ``tools/convert.sh --help``."""

    which: Literal["student", "teacher"]
    arch: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    entry: str
    prefix: str
    drop: Sequence[str] | str


class TrialOptions(ReadingOptions, total=False):
    """Which trials and where: the options of ``tools/transfer_cls.sh --help``."""

    trials: int
    seeds: Sequence[int | str] | int | str
    data: str | Path
    device: Literal["auto", "cpu", "cuda"]
    jobs: int
    suite: str
    name: str


def load_backbone(checkpoint: str | Path, **options: Unpack[ReadingOptions]) -> Backbone:
    """The backbone of a checkpoint, complete and finite, with where it is from.

    Args:
        checkpoint: a path, ``timm:NAME[@FILE]``, ``hf://OWNER/NAME[/FILE][@REVISION]`` or ``random:ARCH``.
        options: see :class:`ReadingOptions`.

    Raises:
        UserError: the file is missing, damaged, of unknown or ambiguous layout, or not a whole known network.
    """
    from transfer.commands.reading import ReadingArgs
    from transfer.trial import RANDOM_PREFIX
    from transfer.weights.backbone import load, random_backbone

    options["drop"] = tuple(_several(options.get("drop", ())))
    said = ReadingArgs(**options)  # type: ignore[arg-type]
    if str(checkpoint).startswith(RANDOM_PREFIX):
        return random_backbone(str(checkpoint).removeprefix(RANDOM_PREFIX), seed=0)
    return load.load_backbone(checkpoint, said.which, said.arch, said.reading())


def build_network(backbone: Backbone | str | Path) -> nn.Module:
    """The backbone as a module in evaluation mode, with its weights. It maps images ``(N, 3, H, W)`` to features.

    Images are RGB, scaled as ``backbone.preprocessing`` says.

    Args:
        backbone: or what :func:`load_backbone` takes.
    """
    from transfer.weights.backbone.network import loaded_network

    return loaded_network(_loaded(backbone)).eval()


def convert(backbone: Backbone | str | Path, target: str, out: str | Path = ".", name: str = "backbone") -> Converted:
    """Writes the weights for another framework, ``out/<name>.<target>.*``, once they are proved.

    Args:
        backbone: or what :func:`load_backbone` takes.
        target: as ``--to`` of ``tools/convert.sh``.

    Raises:
        UserError: no such target, one that lacks this architecture, a framework that is not installed, or a name with
            folders in it.
        ConversionError: the framework's network did not give the source's features; nothing is in place then.
    """
    from transfer.weights.convert.convert import convert as write
    from twist_common.errors import UserError

    if not name or Path(name).name != name:
        raise UserError(f"name is {name!r}: give the beginning of a file's name; folders go into out")
    return write(_loaded(backbone), str(target), Path(out), name)


def _loaded(backbone: Backbone | str | Path) -> Backbone:
    return load_backbone(backbone) if isinstance(backbone, str | Path) else backbone


def run_trials(
    benchmark: str,
    checkpoint: str | Path,
    *,
    out: str | Path = "runs",
    overrides: Sequence[str] | str = (),
    **options: Unpack[TrialOptions],
) -> list[TrialRecord]:
    """Runs the trials that have no record yet, with all checks of the commands, and returns the records of all of them.

    Args:
        benchmark: a key of :data:`transfer.benchmarks.BENCHMARKS`, such as ``"voc"`` or ``"demo-linear"``.
        checkpoint: as for :func:`load_backbone`.
        out: where records go, and are found again.
        overrides: ``"KEY=VALUE"`` settings that differ from the protocol, which the records then say.
        options: see :class:`TrialOptions`.

    Returns:
        One record for each seed; those of failed trials have ``status == "failed"`` and say why.

    Raises:
        UserError: an unknown benchmark, missing data, a bad checkpoint; nothing was started then.
    """
    from dataclasses import fields

    from transfer.benchmarks import BENCHMARKS
    from transfer.commands.reading import ReadingArgs
    from transfer.commands.trial_command import TrialArgs, check_and_launch, plan_benchmarks
    from transfer.trials.states import recorded_state
    from twist_common.errors import UserError, unknown_name

    if benchmark not in BENCHMARKS:
        raise unknown_name("benchmark", str(benchmark), BENCHMARKS)
    if not isinstance(checkpoint, str | Path):
        raise UserError(f"the checkpoint is a {type(checkpoint).__name__}: give its path or name, which records keep")
    given = dict(options)
    if "data" in given:
        given["data"] = Path(str(given["data"]))
    given["seeds"] = tuple(map(str, _several(options.get("seeds", ()))))
    given["drop"] = tuple(_several(options.get("drop", ())))
    for name in ("trials", "jobs"):
        if not isinstance(given.get(name, 1), int):
            raise UserError(f"{name} is {given[name]!r}: give a whole number")
    reading = {each.name: given.pop(each.name) for each in fields(ReadingArgs) if each.name in given}
    args = TrialArgs(
        bench=benchmark,
        checkpoint=str(checkpoint),
        overrides=tuple(_several(overrides)),
        out=Path(out),
        reading=ReadingArgs(**reading),  # type: ignore[arg-type]
        **given,  # type: ignore[arg-type]
    )
    plans = plan_benchmarks(args, {benchmark: (benchmark,)})
    check_and_launch(plans, args)
    return [record for plan in plans if (record := recorded_state(plan).record) is not None]


def _several(given: Any) -> Sequence[Any]:
    """One thing in place of a list of them is a list of one."""
    return [given] if isinstance(given, str | int | Path) else given


def read_records(*sources: str | Path) -> list[TrialRecord]:
    """Every record below the folders and in the archives, each trial once.

    Raises:
        UserError: nothing is there, a record cannot be read, or two records of one trial contradict each other.
    """
    from transfer.report.read.trials import find_records

    return find_records([Path(source) for source in sources])


def compare(
    records: Sequence[TrialRecord],
    *,
    baseline: str | None = None,
    difference: float = WANTED_DIFFERENCE,
    margin: float | None = None,
    published: Mapping[str, str] | None = None,
    sources: Sequence[str | Path] | str | Path = (),
) -> Report:
    """What ``tools/report.sh`` computes: summaries, paired differences, verdicts, and the best of each benchmark.

    Args:
        baseline: name of the weights that the others are compared with; by default the random ones.
        difference: in percentage points, to say the number of trials for.
        margin: what counts as no difference, in percentage points; None for no test of equivalence.
        published: weights' name to the method of the paper that they are, as ``--as``, e.g. ``{"mine": "TWIST"}``;
            :func:`~transfer.report.compare.reproduction.all_reproductions` has measured − published.
        sources: the folders and archives that the records were read from, as for :func:`read_records`. What each test
            image gave is beside them there, by which intervals hold test images besides seeds; by default seeds alone.

    Raises:
        UserError: no weights or method of that name, a difference or margin that is not above 0, or outcomes that are
            not those of their record.
    """
    from transfer.report.compare.results import build_report
    from transfer.report.read.trials import find_trials, outcomes_of
    from twist_common.errors import UserError

    if isinstance(records, str | Path):
        raise UserError(f"{str(records)!r} is no list of records: give read_records({str(records)!r})")
    found = find_trials([Path(source) for source in _several(sources)]) if sources else []
    return build_report(
        records,
        baseline=baseline,
        wanted=difference,
        margin=margin,
        declared=_declared(published),
        outcomes=outcomes_of(found),
    )


def _declared(published: Mapping[str, str] | None) -> list[str]:
    return [f"{weights}={method}" for weights, method in (published or {}).items()]


def write_report(
    *sources: str | Path,
    out: str | Path | None = None,
    baseline: str | None = None,
    difference: float = WANTED_DIFFERENCE,
    margin: float | None = None,
    published: Mapping[str, str] | None = None,
) -> Path:
    """Writes every form of the report and returns the path of its page.

    Args:
        sources: as for :func:`read_records`.
        out: the report's folder; by default the first of ``sources`` that is a folder.
        baseline, difference, margin, published: as for :func:`compare`.

    Raises:
        UserError: as :func:`read_records` and :func:`compare`.
    """
    from transfer.commands import report

    folder = None if out is None else Path(out)
    paths = [Path(source) for source in sources]
    return report.write_report(
        paths, out=folder, baseline=baseline, difference=difference, margin=margin, declared=_declared(published)
    )[1]
