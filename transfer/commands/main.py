"""``twist-transfer COMMAND ...``: every command under one name, where the package is installed."""

from __future__ import annotations

import importlib
import os
import sys

from twist_common import cli, start
from twist_common.errors import UserError, unknown_name

# What is typed to its module and what it does.
COMMANDS = {
    "demo": ("transfer.commands.demo", "all of it on embedded data: pre-training, eleven benchmarks, report"),
    "demo-data": ("twist_common.digits.__main__", "the embedded data in the layouts of ImageFolder, VOC and COCO"),
    "pretrain": ("pretrain.launch", "TWIST pre-training"),
    "convert": ("transfer.commands.convert", "a checkpoint for other frameworks, with proof"),
    "det": ("transfer.commands.transfer_det", "detection and instance segmentation"),
    "seg": ("transfer.commands.transfer_seg", "semantic segmentation"),
    "cls": ("transfer.commands.transfer_cls", "classification, linear and fine-tuned"),
    "cluster": ("transfer.commands.cluster", "unsupervised classification"),
    "suite": ("transfer.commands.suite", "all benchmarks of a suite from several initialisations"),
    "report": ("transfer.commands.report", "records to a report; --verify, --pack"),
    "check-data": ("transfer.commands.check_data", "is a data set complete and readable?"),
    "ablate": ("transfer.commands.ablate", "TWIST with one thing changed at a time"),
    "publish": ("transfer.commands.publish", "a model folder with a card, for a hub"),
}
HELP = ("-h", "--help")
PLAN = "plan"  # twist-transfer plan det ... is twist-transfer det ... --plan


def usage() -> str:
    """What ``--help`` shows."""
    lines = [f"  {name:12}{what}" for name, (_, what) in COMMANDS.items()]
    lines.append(f"  {PLAN:12}what pretrain, det, seg, cls, cluster or suite would take: {PLAN} det voc CKPT")
    return "\n".join(
        [f"usage: {cli.SCRIPT} COMMAND ...", "", *lines, "", f"{cli.SCRIPT} COMMAND --help says more of each."]
    )


def main() -> None:
    """Runs the command that the command line names."""
    os.environ[cli.INSTALLED] = "1"
    start.protect_child_processes()
    words = sys.argv[1:]
    if not words or words[0] in HELP or (words[0] == PLAN and words[1:2] in [[each] for each in HELP]):
        print(usage())
        sys.exit(cli.EXIT_DONE if words else cli.EXIT_BAD_USE)
    if words[0] == PLAN and len(words) > 1:
        words = [*words[1:], "--plan"]
    try:
        if words[0] == PLAN:
            raise UserError(f"{cli.SCRIPT} {PLAN} needs a command to plan, e.g. {cli.SCRIPT} {PLAN} det voc CKPT")
        if words[0] not in COMMANDS:
            raise unknown_name("command", words[0], (*COMMANDS, PLAN))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(cli.EXIT_BAD_USE)
    sys.argv = [f"{cli.SCRIPT} {words[0]}", *words[1:]]
    importlib.import_module(COMMANDS[words[0]][0]).run()


if __name__ == "__main__":
    main()
