"""A published folder for Hugging Face's hub: what timm needs to load it by its name, and the upload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twist_common.errors import UserError
from twist_common.files import atomic_path

CONFIG = "config.json"
TIMM_WEIGHTS = "model.safetensors"  # the name by which timm finds them: timm/models/_hub.py, HF_SAFE_WEIGHTS_NAME


def write_timm_config(weights: Path, proof: dict[str, Any], out: Path) -> None:
    """``config.json``, by which ``timm.create_model("hf_hub:OWNER/NAME", pretrained=True)`` knows the network.

    Args:
        weights: the converted file.
        proof: its proof for timm, whose settings are the network's.
    """
    from timm.models._hub import save_config_for_hf

    from transfer.weights.convert.libraries import load_timm

    network = load_timm(weights, proof["settings"])
    scaling = {"mean": tuple(proof["mean"]), "std": tuple(proof["std"])}
    with atomic_path(out / CONFIG) as temporary:
        save_config_for_hf(network, str(temporary), data_config=scaling)


def push(out: Path, files: list[str], repository: str) -> str:
    """Uploads the files to ``OWNER/NAME`` on the hub, which is made if it is not there, and returns its address.

    Raises:
        UserError: no network, nobody is logged in, or the hub refuses it.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        address = api.create_repo(repository, exist_ok=True)
        message = "Weights with their proof and the report that measured them"
        api.upload_folder(repo_id=repository, folder_path=out, allow_patterns=files, commit_message=message)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{repository} was not uploaded ({reason}); {out} is whole: `hf auth login`, then the same command again"
        ) from None
    return str(address)
