"""Rewrites tyro's output for people: one sentence for a mistake on the command line, and a help without None."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterator, Sequence

TYPES = {"INT": "a whole number", "FLOAT": "a number", "PATH": "a path", "STR": "a text"}


def one_sentence(box: str, args_type: type, prog: str) -> str:
    """Turns the box that tyro prints for a mistake into one sentence.

    Args:
        args_type: the dataclass that the command line was parsed into.
        prog: the command as it was typed.
    """
    rows = [line.strip("│╭╮╰╯ ") for line in box.splitlines()]
    rows = [row for row in rows[1:-1] if row]
    end = next((index for index, row in enumerate(rows) if set(row) == {"─"}), len(rows))
    said = " ".join(rows[:end]).partition(" Got errors:")[0]
    more = f"{prog} --help says more"
    if found := re.match(r"Unrecognized options: (.*)", said):
        unknown = _unknown(found[1].split(", "), args_type)
        return f"{unknown} {more}" if unknown.endswith("?") else f"{unknown}; {more}"
    if found := re.match(r"Error parsing (\S+): (?:no type matching )?(.*)", said):
        values = re.findall(r"'([^']*)'", found[2])
        kind = next((text for name, text in TYPES.items() if name in found[2]), None) or (
            TYPES["INT"] if "int()" in found[2] else TYPES["FLOAT"] if "float" in found[2] else "what it can be"
        )
        if match := re.search(r"\{((?:(?:INT|FLOAT|STR|PATH) ?)+)\}", found[2]):
            kind = f"{len(match[1].split())} numbers"
        return f"{found[1]} is {' '.join(values)!r}, which is not {kind}; {more}"
    if found := re.match(r"invalid choice '(.*)' for argument '(\S+)'\. Expected one of \((.*)\)", said):
        known = [each for each in re.findall(r"'([^']*)'", found[3]) if each != "None"]
        close = difflib.get_close_matches(found[1], known, n=1, cutoff=0.5)
        suggestion = f"did you mean {close[0]!r}? " if close else ""
        return f"{found[2]} cannot be {found[1]!r}: {suggestion}known are {', '.join(known)}"
    if found := re.match(r"Missing value for argument '(\S+)'", said):
        return f"{found[1]} needs a value; {more}"
    if found := re.match(r"Missing from \S.*?: (\S+)", said):
        return f"{found[1]} is missing; {more}"
    return f"{said or 'the command line cannot be read'}; {more}"


def _unknown(words: list[str], args_type: type) -> str:
    """The sentence for options and arguments that the command does not have."""
    word = next((each for each in words if each.startswith("-")), words[0])
    close = difflib.get_close_matches(word.strip("-"), dict(options(args_type)), n=1, cutoff=0.6)
    if close and word.startswith("-"):
        return f"unknown option {word}: did you mean --{close[0]}?"
    if not word.startswith("-"):
        return f"{word!r} is one argument too many"
    if "overrides" not in (field.name for field in dataclasses.fields(args_type)):
        return f"unknown option {word}"
    after = [*words[words.index(word) + 1 :], "-"][0]
    name, equals, value = word.lstrip("-").partition("=")
    if not equals and after.startswith("-"):
        return f"unknown option {word}"
    setting = f"{name.replace('-', '_')}={value if equals else after}"
    return f"unknown option {word}: settings are written without dashes, {setting}"


def slip(words: Sequence[str], args_type: type) -> str | None:
    """Mistakes that would silently be read as something else: an option given twice, or an empty path.

    A shell passes an empty path for ``--out "$OUT"`` if the variable is not set.
    """
    kinds = {f"--{name}": kind for name, kind in options(args_type)}
    given: set[str] = set()
    before = ""  # the option whose value comes next
    for word in words:
        name, equals, value = word.partition("=")
        option = name.replace("_", "-") if name.startswith("--") else ""
        if option in given:
            return f"{option} is given twice: give it once, with all of its values"
        if option in kinds:
            given.add(option)
        if not word and not before:
            return "an argument is empty: give what belongs there, or leave it out"
        empty = before if not word else option if equals and not value else ""
        if "Path" in kinds.get(empty, ""):
            return f"{empty} is empty: give a path, or leave it out"
        before = option
    return None


def options(args_type: type) -> Iterator[tuple[str, str]]:
    """The names of a dataclass's options, and of those within it, each with its type's text."""
    hints = typing.get_type_hints(args_type)
    for field in dataclasses.fields(args_type):
        if dataclasses.is_dataclass(kind := hints[field.name]):
            yield from options(typing.cast(type, kind))
        else:
            yield field.name.replace("_", "-"), str(hints[field.name])


def without_empty_defaults(text: str) -> str:
    """A help in boxes, without ``(default: None)`` and ``(default: )``; each line keeps its length."""
    pattern = r"\(default:[ │\n]*(?:None)?[ │\n]*\)"  # it may go over two lines
    marked = re.sub(pattern, lambda found: re.sub(r"[^│\n]", "\0", found[0]), text)
    lines = [line for line in marked.split("\n") if not re.fullmatch(r"[│ \0]*\0[│ \0]*", line)]
    return "\n".join(lines).replace("\0", " ")
