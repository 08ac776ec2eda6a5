"""The tables of docs/settings.md: every setting with its value and its meaning, from the dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
import re

import docstring_parser.google

import twist_configs.pretrain
from pretrain import recipe
from transfer.tasks.classification import protocol
from twist_common import overrides

ROLE = re.compile(r":\w+:`~?\.?([\w.]+)`|``([^`]+)``")


def setting_tables() -> str:
    """A table of all settings of pre-training, and one for each kind of classification protocol."""
    lines = ["## Pre-training", "", "| Setting | `rn50` | Meaning |", "|---|---|---|"]
    for text in overrides.settings(twist_configs.pretrain.get("rn50")):
        key, _, value = text.partition("=")
        if key != "name":
            lines.append(f"| `{key}` | `{value}` | {meaning(recipe.Recipe, key)} |")
    for name, kind in vars(protocol).items():
        if name.endswith("Protocol"):
            summary = (inspect.getdoc(kind) or "").partition("\n")[0]
            lines += ["", f"## `{name}`", "", in_markdown(summary), "", "| Setting | Meaning |", "|---|---|"]
            lines += [f"| `{each.name}` | {meaning(kind, each.name)} |" for each in dataclasses.fields(kind)]
    return "\n".join(lines)


def meaning(kind: type, key: str) -> str:
    """What the docstring says of a field, or of a field of one of its groups (``optim.lr``)."""
    first, _, rest = key.partition(".")
    if rest:
        return meaning(type(getattr(twist_configs.pretrain.get("rn50"), first)), rest)
    return in_markdown(attributes(kind).get(first, ""))


def attributes(kind: type) -> dict[str, str]:
    """Name to text of the section ``Attributes`` of a class and of those that it inherits from."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        for parsed in docstring_parser.parse(
            inspect.getdoc(each) or "", style=docstring_parser.DocstringStyle.GOOGLE
        ).params:
            found |= dict.fromkeys(parsed.arg_name.split(", "), " ".join((parsed.description or "").split()))
    return found


def in_markdown(text: str) -> str:
    """Sphinx's roles as code."""
    return ROLE.sub(lambda match: f"`{match[1] or match[2]}`", text).replace("|", "\\|")
