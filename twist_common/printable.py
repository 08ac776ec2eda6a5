"""Text that others wrote, shown to a person: without the characters that steer what shows it."""

from __future__ import annotations

import re

# Control characters of both sets but tab and line feed, those that turn the direction of writing (Unicode's annex 9),
# and halves of surrogate pairs, by which Python names files whose names are not UTF-8.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with a replacement character for each one that a terminal would obey or that would hide others."""
    return STEERING.sub("\ufffd", text)
