"""A plan for people, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from transfer.planner.memory import GIB
from transfer.planner.planning import PlannedRow, PlannedTrials
from transfer.trials.states import MEANING, ranges
from twist_common.printable import printable

MIB = 2**20


def show(plan: PlannedTrials, console: Console) -> None:
    """Prints a table on a terminal, and lines of text elsewhere; the totals below."""
    places = "places for trials" if plan.machine.device == "cpu" else "devices"
    jobs = f", {plan.jobs} trials at a time" if plan.jobs and plan.machine.device == "cuda" else ""
    title = f"plan for {plan.machine.num_devices} {places}, {plan.machine.name}{jobs}; nothing is started"
    lines = []
    if console.is_terminal:
        table = Table(title=title, title_justify="left", show_lines=True)
        for heading in ("benchmark", "weights", "trials", "one trial", "device-hours", "source", "disk"):
            table.add_column(heading, overflow="fold")
        for row in plan.rows:
            time, hours, source = _time(row)
            trials, files = "\n".join(_seeds(row)), "\n".join(_disk(row))
            if row.memory:
                source += f"\nmemory: {row.memory}"
            table.add_row(*map(Text, (row.benchmark, printable(_weights(row)), trials, time, hours, source, files)))
        console.print(table)
    else:
        lines.append(title)
        for row in plan.rows:
            lines += [f"{row.benchmark} · {_weights(row)}", f"  trials  {'; '.join(_seeds(row))}"]
            if row.estimate:
                time, hours, source = _time(row)
                in_all = "" if row.device_seconds is None else f", {hours} device-hours in all"
                lines += [f"  time    {time} per trial{in_all}", f"  source  {source}"]
                lines += [f"  memory  {row.memory}"] if row.memory else []
                lines += [f"  disk    {line}" for line in _disk(row)]
    for line in [*lines, *_totals(plan)]:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def as_json(plan: PlannedTrials) -> str:
    """All of a plan, with seconds and bytes; null is unknown."""
    content: dict[str, Any] = {
        "machine": dataclasses.asdict(plan.machine),
        "jobs": plan.jobs,
        "rows": [
            {**dataclasses.asdict(row), "num_to_run": row.num_to_run, "device_seconds": row.device_seconds}
            for row in plan.rows
        ],
        "converted": [dataclasses.asdict(item) for item in plan.converted],
        "total": {
            "device_seconds": plan.device_seconds,
            "wall_seconds": plan.wall_seconds,
            "num_trials_unknown": plan.num_unknown,
            "num_bytes": plan.num_bytes,
        },
        "missing": plan.missing,
        "notes": plan.notes,
    }
    return json.dumps(content, indent=1)


def duration(seconds: float | None) -> str:
    """``"12 s"``, ``"3.5 min"``, ``"2.4 h"``; ``"unknown"``."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def size(num_bytes: int | None) -> str:
    """``"12 MiB"``, ``"3.4 GiB"``; ``"unknown"``."""
    if num_bytes is None:
        return "unknown"
    if num_bytes >= GIB:
        return f"{num_bytes / GIB:,.1f} GiB"
    return f"{num_bytes / MIB:.0f} MiB" if num_bytes >= MIB else f"{num_bytes / 1024:.0f} KiB"


def _seeds(row: PlannedRow) -> list[str]:
    return [f"{len(seeds)} {MEANING[state]} (seed {ranges(seeds)})" for state, seeds in row.seeds.items()]


def _time(row: PlannedRow) -> tuple[str, str, str]:
    """One trial's time with its range, all trials' device-hours, and their source; empty if none is to be run."""
    estimate, num_devices = row.estimate, row.num_devices
    if estimate is None:
        return "", _hours(0.0), ""
    time = "unknown"
    if estimate.device_seconds is not None:
        time = duration(estimate.device_seconds / num_devices)
        if estimate.low is not None and estimate.high is not None:
            low, high = (duration(max(value, 0.0) / num_devices) for value in (estimate.low, estimate.high))
            time += f" ({low} to {high})"
        if num_devices > 1:
            time += f" on {num_devices} devices"
    return time, _hours(row.device_seconds), estimate.source


def _disk(row: PlannedRow) -> list[str]:
    """What is known of the row's files, and where from; the totals say once what is unknown."""
    by_source: dict[str, list[str]] = {}
    for item in row.disk:
        if item.num_bytes is not None:
            by_source.setdefault(item.source, []).append(f"{item.what} {size(item.num_bytes)}")
    return [f"{', '.join(found)} ({source})" for source, found in by_source.items()]


def _weights(row: PlannedRow) -> str:
    return f"{row.weights} ({row.arch or 'architecture unknown'})"


def _totals(plan: PlannedTrials) -> list[str]:
    num_trials = sum(len(seeds) for row in plan.rows for seeds in row.seeds.values())
    num_to_run = sum(row.num_to_run for row in plan.rows)
    lines = [f"total: {num_to_run} of {num_trials} trials to run"]
    known = num_to_run - plan.num_unknown
    if known:
        without = f" for the {known} whose time is known" if plan.num_unknown else ""
        lines.append(
            f"  time    {_hours(plan.device_seconds)} device-hours, {duration(plan.wall_seconds)} by the clock{without}"
        )
    if plan.num_unknown:
        lines.append(f"  time    of {plan.num_unknown} trials unknown, give --probe or records with --from")
    if plan.items:
        unknown = sorted({item.what for item in plan.items if item.num_bytes is None})
        lines.append(f"  disk    {size(plan.num_bytes)}{'; unknown: ' + ', '.join(unknown) if unknown else ''}")
    lines += [f"  disk    of this {item.what} {size(item.num_bytes)} ({item.source})" for item in plan.converted]
    lines += [f"  note    {note}" for note in plan.notes]
    lines += [f"  missing {what} (for {', '.join(wanted)})" for what, wanted in plan.missing.items()]
    return lines


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    hours = seconds / 3600
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:.3g}"
