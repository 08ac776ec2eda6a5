"""Checkpoints that are named with timm's network: ``timm:NAME@FILE``, and ``timm:NAME`` from the local hub cache."""

from __future__ import annotations

from pathlib import Path

from transfer.hub_source import HUB_FILES, hub_source
from twist_common.errors import UserError

TIMM_PREFIX = "timm:"


def timm_source(source: str) -> tuple[Path, str] | None:
    """The file and the architecture that the user means; None where ``source`` is no such name but a path.

    Args:
        source: ``timm:NAME@FILE``, or ``timm:NAME`` for timm's own weights. Nothing is downloaded.

    Raises:
        UserError: a part is missing, or timm's weights are not in the cache of Hugging Face's hub.
    """
    if not source.startswith(TIMM_PREFIX) or Path(source).exists():
        return None
    arch, at, file = source.removeprefix(TIMM_PREFIX).partition("@")
    if not arch or (at and not file):
        raise UserError(f"{source!r}: write timm:NAME@FILE, e.g. timm:vit_small_patch14_dinov2@weights.pth")
    if at:
        return _path(file), arch
    import timm
    from huggingface_hub import try_to_load_from_cache

    base, _, tag = arch.partition(".")
    is_known = timm.is_model(base) and (not tag or arch in timm.list_pretrained(f"{base}.*"))
    config = timm.get_pretrained_cfg(arch) if is_known else None
    if config is None:
        raise UserError(f"{source!r}: timm has no weights of this name: give timm:NAME@FILE with a file of yours")
    arch = f"{config.architecture}.{config.tag}" if config.tag else arch
    repository = config.hf_hub_id if config.hf_hub_id and config.hf_hub_id != "timm/" else f"timm/{arch}"
    for name in HUB_FILES:
        path = try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path).absolute(), arch
    raise UserError(
        f"{source}: the cache of Hugging Face's hub has no {repository}: run `hf download {repository}` where there is "
        f"a network, or give timm:{arch}@FILE"
    )


def named_checkpoint(source: str, arch: str | None) -> tuple[Path, str | None]:
    """The file or folder, and the architecture that the user says it has, in ``source`` or with ``--arch``.

    Args:
        source: a path, or a name as :func:`timm_source` and :func:`~transfer.hub_source.hub_source` take it.

    Raises:
        UserError: both say something else; and as these two.
    """
    named = timm_source(source)
    if named is None:
        return _path(source), arch
    if arch not in (None, named[1], TIMM_PREFIX + named[1]):
        raise UserError(f"{source} is not a {arch}: leave out --arch, or give the file's path alone")
    return named


def _path(source: str) -> Path:
    found = hub_source(source)
    return Path(source) if found is None else found[0]
