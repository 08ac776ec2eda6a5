"""Files with the tensors of a network of timm that the user names; what is in them is never guessed."""

from __future__ import annotations

from collections.abc import Mapping

from transfer.weights.backbone.architecture import get
from transfer.weights.backbone.families import family_of
from transfer.weights.backbone.marks import CLASSIFIER
from transfer.weights.backbone.timm_network import TimmSpec, preprocessing_of
from transfer.weights.backbone.types import Checkpoint, Network, Preprocessing, Source

ENTRIES = (None, "state_dict", "model")  # the file itself; timm's train.py; DeiT and others that build on timm


def timm_layout(checkpoint: Checkpoint, arch: str | None) -> Source | None:
    """The row of a file that holds every key of the named network; None where it does not, or none of timm is named.

    Raises:
        UserError: there is no architecture of this name.
    """
    spec = get(arch) if arch is not None else None
    if not isinstance(spec, TimmSpec):
        return None
    for entry in ENTRIES:
        network = Network(entry=entry)
        state = network.state_of(checkpoint)
        if isinstance(state, Mapping) and spec.shapes().keys() <= state.keys():
            family = None if "." in spec.name else family_of(state, "")  # a tag means timm's own weights
            return Source(
                name="timm",
                recognise=lambda c: False,
                student=network,
                dropped={f"{module}.": CLASSIFIER for module in spec.classifier} | {"mask_token": "mask token"},
                preprocessing=family.preprocessing if family else timm_preprocessing(spec.name),
                ask_preprocessing=family.ask_preprocessing if family else "timm's own weights of it differ in it",
                published_alone=True,
            )
    return None


def timm_preprocessing(arch: str) -> Preprocessing | None:
    """Of timm's own weights of this network; None where it is not timm's, or they differ in it."""
    spec = get(arch)
    found = preprocessing_of(spec.name) if isinstance(spec, TimmSpec) else None
    if found is None:
        return None
    (m0, m1, m2), (s0, s1, s2) = found
    return Preprocessing("RGB", mean=(m0, m1, m2), std=(s0, s1, s2))
