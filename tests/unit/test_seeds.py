"""The seeds of trials, as the command line names them."""

from __future__ import annotations

import pytest

from transfer.commands.seeds import chosen_seeds
from twist_common.errors import UserError


@pytest.mark.parametrize(
    ("trials", "seeds", "expected"),
    [
        (None, (), (0, 1, 2, 3, 4)),
        (2, (), (0, 1)),
        (None, ("0", "3", "7"), (0, 3, 7)),
        (None, ("5-9",), (5, 6, 7, 8, 9)),
        (None, ("12", "3-4", "0"), (12, 3, 4, 0)),
        (None, ("2147483647",), (2**31 - 1,)),
    ],
)
def test_seeds_are_those_that_were_asked_for(
    trials: int | None, seeds: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    assert chosen_seeds(trials, seeds, 5) == expected


@pytest.mark.parametrize(
    ("trials", "seeds", "says"),
    [
        (3, ("1",), "exclude each other"),
        (0, (), "--trials is 0"),
        (-2, (), "--trials is -2"),
        (10_001, (), "10000"),
        (None, ("3", "1-4"), "seed 3 twice"),
        (None, ("-3",), "'-3'"),
        (None, ("1.5",), "'1.5'"),
        (None, ("three",), "'three'"),
        (None, ("9-5",), "write 5-9"),
        (None, ("0-1000000000",), "10000 at most"),
        (None, ("2147483648",), "at most 2147483647"),
        (None, ("",), "''"),
    ],
)
def test_wrong_seeds_are_one_sentence(trials: int | None, seeds: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        chosen_seeds(trials, seeds, 5)
