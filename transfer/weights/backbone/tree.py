"""What an unpickled checkpoint holds, as plain containers and tensors: modules as state dicts, the rest set aside."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer.weights.backbone.mapped import SPARE
from transfer.weights.backbone.rebuild import attributes_of
from transfer.weights.backbone.unpickle import Foreign
from twist_common.errors import UserError

# torch.compile, torch.distributed.fsdp and its checkpoint_wrapper put these between the names of modules
WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
MAX_DEPTH = 100
MAX_MODULES = 100_000
MAX_LISTED = 100 << 20
"""Bytes of what is listed anew: a module's entries for each that it is a part of, a Namespace's for each that shares
them. One with a thousand layers takes 1 MB."""


SETTINGS = ("eps", "stride", "padding", "dilation", "groups", "num_heads")
"""Attributes of layers that change what a network computes, and that none of its tensors shows."""


class WholeModule(dict[str, Any]):
    """The state dict of a module that was pickled whole.

    Attributes:
        settings: name of a layer to those of its :data:`SETTINGS` that it has.
    """

    settings: dict[str, dict[str, Any]]


@dataclass
class Tree:
    """One walk over a checkpoint. What occurs twice is one object afterwards, too."""

    file_size: int
    seen: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    num_modules: int = 0
    num_listed: int = 0

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Dict, list and tuple, and of foreign objects: modules, Namespaces, dicts by another name, OmegaConf's."""
        import torch

        if depth > MAX_DEPTH:
            raise UserError(f"its entries are nested deeper than {MAX_DEPTH}, which no checkpoint's are")
        if isinstance(value, torch.Tensor):
            if value.is_nested:
                return value
            if (total := math.prod(value.shape) * value.element_size()) > self.file_size + SPARE:
                raise UserError(
                    f"it has a tensor of shape {list(value.shape)}, which would fill {total:.3g} bytes of memory: "
                    f"it is damaged, or made to do harm"
                )
            return value
        if not isinstance(value, dict | list | tuple | Foreign):
            return value
        if id(value) in self.seen:
            return self.seen[id(value)][1]
        if isinstance(value, dict):
            made: Any = {}
            self.seen[id(value)] = (value, made)
            made.update((key, self.plain(item, depth + 1)) for key, item in value.items())
        elif isinstance(value, list):
            made = []
            self.seen[id(value)] = (value, made)
            made.extend(self.plain(item, depth + 1) for item in value)
        elif isinstance(value, tuple):
            made = tuple(self.plain(item, depth + 1) for item in value)
        else:
            self.seen[id(value)] = (value, value)  # for one that holds itself
            made = self._object(value, depth)
        self.seen[id(value)] = (value, made)
        return made

    def _object(self, value: Foreign, depth: int) -> Any:
        attributes = attributes_of(value.state)
        if {"_parameters", "_buffers", "_modules"} <= attributes.keys():
            module = WholeModule()
            module.settings = {}
            module.update(self._module(value, "", depth, module.settings))
            return module
        if value.name == "argparse.Namespace":
            self._listed(200 * len(attributes))
            return argparse.Namespace(**{str(key): self.plain(item, depth + 1) for key, item in attributes.items()})
        if value.name.startswith("omegaconf."):
            return self.plain(attributes.get("_content", attributes.get("_val")), depth + 1)
        return self.plain(value.entries, depth + 1) if value.entries else value

    def _module(
        self, module: Any, prefix: str, depth: int, settings: dict[str, dict[str, Any]]
    ) -> list[tuple[str, Any]]:
        """Its state dict: parameters, then the buffers that are saved, then those of the modules in it."""
        self.num_modules += 1
        if depth > MAX_DEPTH or self.num_modules > MAX_MODULES:
            raise UserError("its modules are nested deeper, or more often, than any network's")
        attributes = attributes_of(module.state) if isinstance(module, Foreign) else {}
        if said := {
            name: attributes[name] for name in SETTINGS if isinstance(attributes.get(name), int | float | tuple)
        }:
            settings[prefix.removesuffix(".")] = said
        unsaved = attributes.get("_non_persistent_buffers_set") or ()
        kept: list[tuple[str, Any]] = []
        for group in ("_parameters", "_buffers"):
            for name, value in _dict(attributes.get(group)).items():
                if value is not None and not (group == "_buffers" and name in unsaved):
                    key = f"{prefix}{name}"
                    self._listed(200 + 10 * depth + len(key))
                    kept.append((key, self.plain(value, depth + 1)))
        for name, inner in _dict(attributes.get("_modules")).items():
            kept += self._module(inner, f"{prefix}{name}.", depth + 1, settings)
        return kept

    def _listed(self, num_bytes: int) -> None:
        self.num_listed += num_bytes
        if self.num_listed > MAX_LISTED:
            raise UserError("its objects share more entries than any checkpoint's")


def plain(value: Any, file_size: int) -> Any:
    """Raises :class:`UserError` (without the file's name) for a tree that is no checkpoint's."""
    return Tree(file_size).plain(value)


def _dict(value: Any) -> dict[Any, Any]:
    if isinstance(value, Foreign):
        return value.entries
    return value if isinstance(value, dict) else {}


def without_wrappers(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The checkpoint without what compiles, shards or recomputes a module among its names, but for the prefix of all.

    State dicts of which two names would be one stay as they are.
    """
    return _unwrapped(_like(checkpoint, {name: _unwrapped(held) for name, held in checkpoint.items()}))


def _unwrapped(held: Any) -> Any:
    keys = [key for key in held if isinstance(key, str)] if isinstance(held, Mapping) else []
    if not any(WRAPPED.search(key) for key in keys):
        return held
    pairs = enumerate(zip(min(keys), max(keys), strict=False))
    prefix = next((place for place, (one, other) in pairs if one != other), 0)
    names = {key: key[:prefix] + WRAPPED.sub("", key[prefix:]) for key in keys}
    if len({*names.values()}) < len(names):
        return held
    return _like(held, {names.get(key, key): item for key, item in held.items()})


def _like(held: Mapping[str, Any], items: dict[str, Any]) -> Mapping[str, Any]:
    """A whole module stays one. Wrappers between its names are the user's to take off, so settings keep the names."""
    if not isinstance(held, WholeModule):
        return items
    module = WholeModule(items)
    module.settings = {WRAPPED.sub("", name): each for name, each in held.settings.items()}
    return module
