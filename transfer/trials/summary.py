"""How the trials of one command went."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Literal

from transfer.trials.plan import TrialPlan
from twist_common.cli import EXIT_DONE, EXIT_TRIAL_FAILED
from twist_common.printable import printable

End = Literal["done", "done elsewhere", "failed", "refused"]


@dataclass
class RunSummary:
    """How the trials went, counted as they end.

    Attributes:
        done: trials that this command ran.
        skipped: trials that had a record before.
        elsewhere: trials that another runner did meanwhile.
        queued: trials that are left to a cluster's scheduler.
        failed: (plan, reason) of each.
        refused: what was wrong with the input, in one sentence each.
    """

    done: int = 0
    skipped: int = 0
    elsewhere: int = 0
    queued: int = 0
    failed: list[tuple[TrialPlan, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return EXIT_TRIAL_FAILED if self.failed else EXIT_DONE

    def add(self, plan: TrialPlan, end: End, result: str) -> None:
        """Counts a trial that has ended; ``result`` says why it failed, or what was wrong with its input."""
        if end == "done":
            self.done += 1
        elif end == "done elsewhere":
            self.elsewhere += 1
        elif end == "failed":
            self.failed.append((plan, result))
        else:
            self.refused.append(result)


def print_failures(summary: RunSummary, command: str) -> None:
    """Prints a line for each failed trial (which, why, where its traceback and output are), then how to resume."""
    for plan, reason in summary.failed:
        traces = {"traceback": plan.trial_dir / "error.txt", "output": plan.log_path}
        where = ", ".join(f"{what}: {path}" for what, path in traces.items() if path.is_file())
        print(printable(f"failed: {plan.label}: {reason}{f' ({where})' if where else ''}"), file=sys.stderr)
    if summary.failed:
        print(
            f"{len(summary.failed)} trial(s) failed, the others are recorded; "
            f"fix the cause and start {command} again: it runs only what is missing",
            file=sys.stderr,
        )
