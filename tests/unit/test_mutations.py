"""The mutations of tests/faults still fit the code: ``python -m tests.faults.mutations`` tries them."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.faults.safeguards import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.safeguard)
def test_a_mutation_changes_one_place_and_names_tests_that_exist(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.before) == 1
    assert mutation.after != mutation.before
    for test in mutation.tests.split(" -k ")[0].split():
        assert (ROOT / test).is_file()
