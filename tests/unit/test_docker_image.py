"""What ``Dockerfile`` and ``.dockerignore`` take along, held against what the set-up reads and what git knows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]


def lines(name: str) -> list[str]:
    """Without comments and empty ones."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def is_left_out(name: str) -> bool:
    """By a pattern of ``.dockerignore``, which starts at the context's root (https://docs.docker.com/reference/dockerfile).

    That of a folder holds for what is in it.
    """
    patterns = [re.escape(line).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*") for line in lines(".dockerignore")]
    path = PurePosixPath(name)
    return any(re.fullmatch(pattern, str(each)) for pattern in patterns for each in (path, *path.parents))


def test_the_packages_are_installed_anew_for_what_the_set_up_reads_and_for_nothing_else() -> None:
    before = lines("Dockerfile")
    before = before[: next(number for number, line in enumerate(before) if line.startswith("RUN tools/setup.sh"))]
    copied = {name for line in before if line.startswith("COPY") for name in line.split()[1:-1]}
    script = "\n".join(lines("tools/setup.sh"))
    assert copied == {"tools/setup.sh", *re.findall(r"[\w./-]+\.(?:lock|toml|py)\b", script.replace(".venv.lock", ""))}


def test_an_image_holds_what_git_tracks_and_its_commit_but_nothing_that_git_ignores() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert len(tracked) > 500
    assert not [name for name in tracked if is_left_out(name)]
    assert not [
        name for name in (".git/HEAD", ".git/index", ".git/objects/00/11", ".git/refs/heads") if is_left_out(name)
    ]
    for pattern in lines(".gitignore"):
        place = pattern.strip("/").replace("*", "any")
        assert is_left_out(place if pattern.startswith("/") else f"deep/er/{place}"), pattern
    assert is_left_out(".git/config")  # the address in it may hold a password
