"""Checkpoints that are named by an address: ``hf://OWNER/NAME[/FILE][@REVISION]``, from the local hub cache alone."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from twist_common.errors import UserError

# What save_pretrained writes into a folder, in the order in which from_pretrained looks for it; timm publishes it too.
HUB_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors",
)
_ADDRESS = re.compile(r"(https?|hf|s3|gs|ftp):(/{1,2}|$)")  # pathlib makes one slash of two
_HUB = re.compile(  # a revision stands before the file in huggingface_hub's own hf:// (hf_file_system.py)
    r"(hf:/{1,2}|https?:/{1,2}(huggingface\.co|hf\.co)/)(?P<repository>[\w.-]+/[\w.-]+)(@(?P<early>[^@/]+))?"
    r"(/(resolve|blob|raw|tree)/(?P<branch>[^/?]+))?(/(?P<file>[^@?]+))?(@(?P<late>[^@?]+))?(\?.*)?"
)


def hub_source(source: str) -> tuple[Path, str] | None:
    """The file, or the folder of a model, in the cache of Hugging Face's hub, and a name for its weights.

    None where ``source`` is no address but a path. Nothing is downloaded.

    Raises:
        UserError: it is not in the cache, or an address of something else; with what to run.
    """
    if not _ADDRESS.match(source) or Path(source).exists():
        return None
    source = re.sub(":/*", "://", source, count=1)
    named = _HUB.fullmatch(source)
    if named is None and source.startswith("hf:"):
        raise UserError(f"{source}: write hf://OWNER/NAME, with /FILE or @REVISION after it if need be")
    if named is None:
        how = f"run `curl -LO {shlex.quote(source)}`" if source.startswith("http") else "download it first"
        raise UserError(f"{source} is an address: {how}, then give the path of the file")
    from huggingface_hub import try_to_load_from_cache

    repository, file = named["repository"], named["file"]
    revision = named["early"] or named["branch"] or named["late"]
    for name in [file] if file else HUB_FILES:
        path = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(path, str):
            found = Path(path).absolute()
            stem = f"-{Path(file).stem}" if file and file not in HUB_FILES else ""
            return (found if file else found.parent), repository.partition("/")[2] + stem
    words = ["hf", "download", repository, *([file] if file else []), *(["--revision", revision] if revision else [])]
    raise UserError(
        f"{source} is not in the cache of Hugging Face's hub: run `{shlex.join(words)}` where there is a network"
    )
