"""A plan for people, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from transfer.planner.estimate import Estimate
from transfer.planner.planning import Plan, Row
from transfer.trials.states import MEANING, ranges

GIB, MIB = 2**30, 2**20


def show(plan: Plan, console: Console) -> None:
    """Tables on a terminal, the same as lines of text elsewhere."""
    if console.is_terminal:
        console.print(_table(plan))
    for line in [*([] if console.is_terminal else _lines(plan)), *_totals(plan)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def as_json(plan: Plan) -> str:
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


def _seeds(row: Row) -> list[str]:
    return [f"{len(seeds)} {MEANING[state]} (seed {ranges(seeds)})" for state, seeds in row.seeds.items()]


def _trial(row: Row, estimate: Estimate) -> str:
    if estimate.device_seconds is None:
        return "unknown"
    devices = f" on {row.num_devices} devices" if row.num_devices > 1 else ""
    spread = ""
    if estimate.low is not None and estimate.high is not None:
        low, high = (max(value, 0.0) / row.num_devices for value in (estimate.low, estimate.high))
        spread = f" ({duration(low)} to {duration(high)})"
    return f"{duration(estimate.device_seconds / row.num_devices)}{spread}{devices}"


def _disk(row: Row) -> list[str]:
    """What is known of the row's disk, and where from; what is not is said once for the whole plan."""
    by_source: dict[str, list[str]] = {}
    for item in row.disk:
        if item.num_bytes is not None:
            by_source.setdefault(item.source, []).append(f"{item.what} {size(item.num_bytes)}")
    return [f"{', '.join(found)} ({source})" for source, found in by_source.items()]


def _table(plan: Plan) -> Table:
    table = Table(title=_title(plan), title_justify="left", show_lines=True)
    for heading in ("benchmark", "weights", "trials", "one trial", "device-hours", "source", "disk"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        table.add_row(
            row.benchmark,
            _weights(row),
            "\n".join(_seeds(row)),
            _trial(row, row.estimate) if row.estimate else "",
            _hours(row.device_seconds),
            row.estimate.source if row.estimate else "",
            "\n".join(_disk(row)),
        )
    return table


def _lines(plan: Plan) -> list[str]:
    lines = [_title(plan)]
    for row in plan.rows:
        lines += [f"{row.benchmark} · {_weights(row)}", f"  trials  {'; '.join(_seeds(row))}"]
        if row.estimate:
            hours = "" if row.device_seconds is None else f", {_hours(row.device_seconds)} device-hours in all"
            lines += [f"  time    {_trial(row, row.estimate)} a trial{hours}", f"  source  {row.estimate.source}"]
            lines += [f"  disk    {line}" for line in _disk(row)]
    return lines


def _weights(row: Row) -> str:
    return f"{row.weights} ({row.arch or 'architecture unknown'})"


def _title(plan: Plan) -> str:
    places = "places for trials" if plan.machine.device == "cpu" else "devices"
    jobs = f", {plan.jobs} trials at a time" if plan.jobs and plan.machine.device == "cuda" else ""
    return f"plan for {plan.machine.num_devices} {places}, {plan.machine.name}{jobs}; nothing is started"


def _totals(plan: Plan) -> list[str]:
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
