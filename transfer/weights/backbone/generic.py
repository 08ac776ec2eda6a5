"""The layouts that no row of the table names: one known network under known wrappers, beside known heads.

The rule is as strict as a row: entry, prefix and every dropped key consist of the words below; one network fits, or two
of which one is by its name the other's moving average. What no rule names stays and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transfer.weights.backbone.families import BUFFER, NETWORKS_FIRST, Family, family_of
from transfer.weights.backbone.marks import ASK_HEADS, CLASSIFIER, PROJECTION, SUPERVISED_OR_SIMCLR, has_any
from transfer.weights.backbone.types import IMAGENET, Checkpoint, Network, Source

# where codes put the state dict; the second group are moving averages (timm's train.py, torchvision's references, iBOT)
ENTRIES = (None, "state_dict", "model", "module", "model_state_dict", "classy_state_dict/base_model/model/trunk")
AVERAGES = ("state_dict_ema", "model_ema", "teacher")
WRAPPERS = ("module", "_orig_mod", "encoder", "backbone", "base_encoder", "encoder_q", "model", "_feature_blocks")
MOMENTUM = ("momentum_backbone", "momentum_encoder", "encoder_k")
DROPPED = {
    **dict.fromkeys(("fc", "classifier", "head", "heads", "head_dist"), CLASSIFIER),
    **dict.fromkeys(
        ("projector", "projection_head", "projection_heads", "predictor", "prototypes", "dino_head", "ibot_head"),
        PROJECTION,
    ),
    **dict.fromkeys(("momentum_projector", "momentum_predictor", "momentum_classifier"), "the moving average's head"),
    **dict.fromkeys(("queue", "queue_ptr"), "queue of negatives"),
    **dict.fromkeys(
        ("decoder_pos_embed", "decoder_embed", "decoder_blocks", "decoder_norm", "decoder_pred"), "decoder"
    ),
    **dict.fromkeys(("mask_token", "masked_embed"), "mask token"),
    "n_averaged": "count of averaged networks",
}


def generic_source(checkpoint: Checkpoint) -> Source | None:
    """The row that this checkpoint would have; None where the rule fits no network, or more than one."""
    plain = list(_networks(checkpoint, ENTRIES, average=False))
    average = [*_networks(checkpoint, AVERAGES, average=False), *_networks(checkpoint, ENTRIES, average=True)]
    if len(plain) > 1 or len(average) > 1 or not (plain or average):
        return None
    student = plain[0] if plain else Network(entry="student")
    teacher = average[0] if average else None
    if teacher and teacher.entry == student.entry and teacher.prefix.startswith(student.prefix):
        return None  # one lies within the other
    found = (plain or average)[0]
    state = found.state_of(checkpoint)
    family = family_of(state, found.prefix)
    assert family is not None, "a network is found by its family"
    is_mae = family.name == "ViT" and has_any(state, found.prefix + "decoder_")
    alone = checkpoint.keys() == {"state_dict"} and has_any(state, found.prefix + "fc.")
    place = " and ".join(dict.fromkeys(f"{network.entry}" for network in (*plain, *average) if network.entry))
    place = f"{family.name} in {place or 'wrappers'}" if place or found.prefix else family.name
    return Source(
        name="MAE" if is_mae else _solo_learn(checkpoint, state) or place,
        recognise=lambda c: generic_source(c) is not None,
        student=student,
        teacher=teacher,
        dropped={key: why for network in (*plain, *average) for key, why in _dropped(network, family, checkpoint)},
        naming=family.naming,
        values=family.values,
        preprocessing=IMAGENET if is_mae else None if alone else family.preprocessing,
        ask_preprocessing=SUPERVISED_OR_SIMCLR if alone else family.ask_preprocessing,
        ask_archs={} if family.name == "DINOv2" else ASK_HEADS,
        default_network="student" if plain else "teacher",
        published_alone=not is_mae,
    )


def _solo_learn(checkpoint: Checkpoint, state: Mapping[str, Any]) -> str | None:
    """Lightning's files with the names of github.com/vturrisi/solo-learn: solo/methods/base.py."""
    marks = "backbone.conv1.weight" in state and "classifier.weight" in state
    return "solo-learn" if marks and "pytorch-lightning_version" in checkpoint else None


def _networks(checkpoint: Checkpoint, entries: tuple[str | None, ...], *, average: bool) -> Iterator[Network]:
    for entry in entries:
        state = Network(entry=entry).state_of(checkpoint)
        if not isinstance(state, Mapping):
            continue
        keys = [str(key) for key in state]
        prefixes = [key.removesuffix(first) for key in keys for first in NETWORKS_FIRST if key.endswith(first)]
        for prefix in dict.fromkeys(prefixes):
            words = prefix.split(".")[:-1]
            whole = prefix == "" or prefix.endswith(".")
            if not whole or not set(words) <= {*WRAPPERS, *MOMENTUM} or family_of(state, prefix) is None:
                continue
            if average == bool(set(words) & set(MOMENTUM)):
                yield Network(entry=entry, prefix=prefix)


def _dropped(network: Network, family: Family, checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    for key in map(str, network.state_of(checkpoint)):
        words = key.split(".")
        depth = 0
        while depth < len(words) - 1 and words[depth] in {*WRAPPERS, *MOMENTUM}:
            depth += 1
        if key.removeprefix(network.prefix).startswith(family.kept):
            continue
        if reason := DROPPED.get(words[depth]):
            beginning = ".".join(words[: depth + 1]) + ("." if depth < len(words) - 1 else "")
            yield (key if family.kept else beginning), reason
        elif family.buffers and key.endswith(family.buffers):
            yield key, BUFFER
    yield from ((network.prefix + beginning, reason) for beginning, reason in family.dropped.items())
