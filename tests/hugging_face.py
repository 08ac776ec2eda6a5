"""Checkpoints as Hugging Face's transformers writes them, and features that it computes, without transformers.

``tests/records/hugging_face.json`` has, for each network, the config, keys and shapes that ``save_pretrained`` of
transformers 5.24.0 wrote, and values of the hidden states that its model gave for the tensors of :func:`state_of` and
the images of :func:`images_of`. ``python -m tests.hugging_face`` makes it anew where transformers is installed.
"""

from __future__ import annotations

import json
import re
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

RECORD = Path(__file__).with_name("records") / "hugging_face.json"
SCALING = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
NUM_VALUES = 6
Layout = dict[str, Any]


def layouts() -> dict[str, Layout]:
    """The record: name to config, tensors, images' size and reference."""
    found: dict[str, Layout] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def shapes_of(tensors: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Every key and its shape; ``{0-11}`` stands for each of these numbers."""
    shapes = {}
    for template, shape in tensors.items():
        span = re.search(r"\{(\d+)-(\d+)\}", template)
        numbers = range(int(span[1]), int(span[2]) + 1) if span else [0]
        shapes |= {re.sub(r"\{.*\}", str(number), template): shape for number in numbers}
    return shapes


def state_of(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Tensors that follow from key and shape alone. Tokens are small, so that a norm's epsilon shows."""
    return {key: _tensor(key, shape) for key, shape in shapes.items()}


def _tensor(key: str, shape: list[int]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.tensor(1000)
    if key.endswith(("running_var", "lambda1", "gamma", "layer_scale_parameter")):
        return torch.empty(shape).uniform_(0.5, 1.5, generator=generator)
    if key.endswith("weight") and len(shape) == 1:
        return torch.empty(shape).uniform_(0.5, 1.5, generator=generator)
    fan_in = torch.Size(shape[1:]).numel()
    std = fan_in**-0.5 if key.endswith("weight") else 0.1 if len(shape) < 3 else 0.02
    return torch.empty(shape).normal_(std=std, generator=generator)


def images_of(size: list[int]) -> Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))


def values_of(hidden: Tensor) -> list[float]:
    """Some numbers of a map, in units of its root mean square."""
    places = torch.linspace(0, hidden.numel() - 1, NUM_VALUES).long()
    return [round(float(value), 7) for value in hidden.flatten()[places] / hidden.pow(2).mean().sqrt()]


def write_folder(layout: Layout, folder: Path, scaling: Mapping[str, Any] | None = SCALING) -> Path:
    """The folder as ``save_pretrained`` of the model and of its image processor leave it."""
    save_file(state_of(shapes_of(layout["tensors"])), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(layout["config"]))
    if scaling:
        (folder / "preprocessor_config.json").write_text(json.dumps(scaling))
    return folder


# Making the record --------------------------------------------------------------------------------------------------

NARROW = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
SMALL = {"hidden_size": 384, "num_attention_heads": 6}
FEW = {"hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 4}
DECODER = {"decoder_num_hidden_layers": 1, "decoder_hidden_size": 32, "decoder_num_attention_heads": 2}
BASIC = {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]}
MODELS: dict[str, tuple[str, dict[str, Any], list[int]]] = {
    "vit": ("ViTForImageClassification", {**NARROW, "image_size": 96}, [96, 96]),
    "vit without head": ("ViTModel", {**NARROW, "image_size": 96}, [96, 96]),
    "vit_mae": ("ViTMAEForPreTraining", {**NARROW, **DECODER, "image_size": 96, "mask_ratio": 0.0}, [96, 96]),
    "dinov2": ("Dinov2Model", {**SMALL, "image_size": 70}, [70, 70]),
    "dinov2 gated": ("Dinov2Model", {**FEW, "image_size": 70, "use_swiglu_ffn": True}, [70, 70]),
    "dinov2_with_registers": (
        "Dinov2WithRegistersForImageClassification",
        {**SMALL, "image_size": 70, "patch_size": 14},
        [70, 70],
    ),
    "dinov3_vit": ("DINOv3ViTModel", {"num_register_tokens": 4}, [64, 96]),
    "dinov3_vit gated": (
        "DINOv3ViTModel",
        {**FEW, "intermediate_size": 192, "num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu"},
        [64, 96],
    ),
    "resnet": ("ResNetForImageClassification", BASIC, [64, 96]),
    "resnet bottleneck": ("ResNetModel", {"depths": [2, 2, 2, 2]}, [64, 96]),
    "convnext": ("ConvNextForImageClassification", {}, [64, 96]),
    "dinov3_convnext": ("DINOv3ConvNextModel", {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 2, 1]}, [64, 96]),
    "swin": ("SwinForMaskedImageModeling", {}, [224, 224]),
}


def _templates(shapes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The inverse of :func:`shapes_of`."""
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for key, shape in shapes.items():
        *_, (begin, end) = [match.span(1) for match in re.finditer(r"(?:layers?|blocks)\.(\d+)\.", key)] or [(0, 0)]
        template = f"{key[:begin]}{{}}{key[end:]}" if end else key
        groups.setdefault((template, tuple(shape)), []).append(int(key[begin:end] or 0))
    templates = {}
    for (template, shape), numbers in groups.items():
        first, last = min(numbers), max(numbers)
        assert sorted(numbers) == list(range(first, last + 1)), template
        templates[template.replace("{}", f"{{{first}-{last}}}" if last > first else str(first))] = list(shape)
    return templates


def _hidden_states(model: Any, images: Tensor) -> list[Tensor]:
    """Patches after each block, or the maps after each stage, and what is pooled or the class token at the end."""
    kind = model.config.model_type
    base = model if kind.startswith("dinov3") else getattr(model, model.base_model_prefix, model)
    output = base(images, output_hidden_states=True)
    states, last = list(output.hidden_states), output.last_hidden_state
    if kind == "swin":
        return [output.reshaped_hidden_states[-1]]  # those before lie behind the merging of patches
    if kind in ("resnet", "convnext", "dinov3_convnext"):
        return [*states[-4:], output.pooler_output.flatten(1)]
    if kind == "vit_mae":
        order = output.ids_restore[..., None].expand(-1, -1, last.shape[-1])
        return [*(state[:, 1:].gather(1, order) for state in states[1:]), last[:, 0]]
    num_patches = images.shape[-2] * images.shape[-1] // model.config.patch_size**2
    feature = last[:, -num_patches:].mean(1) if kind == "dinov3_vit" else last[:, 0]
    return [*(state[:, -num_patches:] for state in states[1:]), feature]


def _record(name: str) -> Layout:
    import transformers

    kind, settings, size = MODELS[name]
    model_class = getattr(transformers, kind)
    model = model_class(model_class.config_class(**settings)).eval()
    folder = Path(tempfile.mkdtemp())
    model.save_pretrained(folder)
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 # no mapping
    save_file(state_of(shapes), folder / "model.safetensors", metadata={"format": "pt"})
    with torch.no_grad():
        states = _hidden_states(model_class.from_pretrained(folder).eval(), images_of(size))
    config = json.loads((folder / "config.json").read_text())
    return {
        "config": {
            key: value for key, value in config.items() if not key.startswith(("stage_", "out_", "id2", "label2"))
        },
        "tensors": _templates(shapes),
        "size": size,
        "values": [values_of(state) for state in states],
    }


if __name__ == "__main__":
    texts = (f'"{name}": {json.dumps(_record(name))}' for name in MODELS)
    RECORD.write_text("{\n" + ",\n".join(texts) + "\n}\n", encoding="utf-8")
