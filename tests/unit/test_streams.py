"""Random streams: one number each, and no two of them, nor parts of them, share their bits."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from transfer.streams import Stream, rng, torch_seed

ROOT = Path(__file__).resolve().parents[2]
PARTS = ((), (0,), (1,), (0, 0), (0, 1), (1, 0), (2, 0), (0, 0, 0))
DRAWS = ("default_rng(", "SeedSequence(", "RandomState(", "manual_seed(seed", "manual_seed(trial")


def test_every_stream_has_a_number_of_its_own() -> None:
    assert len(Stream.__members__) == len(set(map(int, Stream))) > 10


def test_no_two_streams_share_their_first_draws_nor_do_parts_of_one() -> None:
    keys = list(itertools.product((0, 1, 7, 2**40), Stream, PARTS))
    assert len({tuple(rng(*key[:2], *key[2]).integers(2**63, size=2)) for key in keys}) == len(keys)
    assert len({torch_seed(*key[:2], *key[2]) for key in keys}) == len(keys)


def test_a_stream_repeats_and_is_kept_apart_where_entropy_alone_would_not() -> None:
    assert rng(7, Stream.ORDER, 3).integers(2**63) == rng(7, Stream.ORDER, 3).integers(2**63)
    assert torch_seed(7, Stream.VIEWS, 1, 2) == torch_seed(7, Stream.VIEWS, 1, 2)
    same = [np.random.default_rng(entropy).integers(2**63) for entropy in ([7, 1], [7, 1, 0])]
    assert same[0] == same[1]  # zeros at the end are padding: what a held-out draw and the order of epoch 0 once shared
    assert rng(7, Stream.HELD_OUT).integers(2**63) != rng(7, Stream.HELD_OUT, 0).integers(2**63)


def test_classification_clustering_and_ablations_draw_from_named_streams_alone() -> None:
    rooms = ("transfer/tasks/classification", "transfer/tasks/clustering", "transfer/ablation")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert len(sources) > 40
    texts = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in sources}
    found = {f"{path}: {draw}" for path, text in texts.items() for draw in DRAWS if draw in text}
    # its seed is an argument, drawn from Stream.CLASS_HEAD
    assert found == {"transfer/tasks/clustering/network.py: manual_seed(seed"}
