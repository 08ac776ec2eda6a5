"""Which network Hugging Face's ``config.json`` describes, by rule: its sizes, then the name of a network of them.

Sizes that tensors show are left to the tensors: whoever loads them compares every shape. What no tensor shows is
compared here: heads, epsilons, activations, strides, windows. The defaults are those of the config's classes
(github.com/huggingface/transformers, src/transformers/models: vit/configuration_vit.py and so on).

An epsilon can be another one than timm's of the same network: Hugging Face's ViTs and ViT-MAEs have 1e-12 in every
norm (configuration_vit.py, configuration_vit_mae.py), its ConvNeXts in the last one (modeling_convnext.py), where timm
and the authors have 1e-6. The network is then the variant with that epsilon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transfer.weights.backbone.timm_network import Variant, is_timm

Config = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]

VIT_SIZES = {  # width, heads, blocks
    (192, 3, 12): "tiny",
    (384, 6, 12): "small",
    (768, 12, 12): "base",
    (1024, 16, 24): "large",
    (1280, 16, 32): "huge",
    (1536, 24, 40): "giant",
}
DINOV3_SIZES = {  # width, heads, blocks, whether the MLP is gated
    (384, 6, 12, False): "small",
    (384, 6, 12, True): "small_plus",
    (768, 12, 12, False): "base",
    (1024, 16, 24, False): "large",
    (1280, 20, 32, True): "huge_plus",
    (4096, 32, 40, True): "7b",
}
CONVNEXT_SIZES = {  # blocks, width
    ((3, 3, 9, 3), 96): "tiny",
    ((3, 3, 27, 3), 96): "small",
    ((3, 3, 27, 3), 128): "base",
    ((3, 3, 27, 3), 192): "large",
    ((3, 3, 27, 3), 256): "xlarge",
}
SWIN_SIZES = {  # width, blocks, heads
    (96, (2, 2, 6, 2), (3, 6, 12, 24)): "tiny",
    (96, (2, 2, 18, 2), (3, 6, 12, 24)): "small",
    (128, (2, 2, 18, 2), (4, 8, 16, 32)): "base",
    (192, (2, 2, 18, 2), (6, 12, 24, 48)): "large",
}
RESNETS = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (2, 2, 2, 2)): "resnet26",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
}
OURS = {"vit_small_patch16_224": "deit_small", "vit_base_patch16_224": "vit_base"}


class OtherNetworkError(ValueError):
    """The config describes a network that is not known here; the message says what it is."""


class _UnsaidError(ValueError):
    """The config leaves out what no tensor shows."""


class _Said:
    """The settings of a config: what it says, else what the tensors show, else the default of its class."""

    def __init__(self, config: Config, shapes: Shapes) -> None:
        self.kind = str(config["model_type"])[:60]
        self.config = config
        self.shapes = shapes

    def __call__(self, name: str, default: Any, shown: Any = None) -> Any:
        value = self.config.get(name)
        value = value if value is not None else shown if shown is not None else default
        if isinstance(value, list) and value and all(item == value[0] for item in value) and name.endswith("_size"):
            value = value[0]  # height and width
        return tuple(value) if isinstance(value, list) else value

    def width(self, default: int) -> Any:
        return self("hidden_size", default, (self.shapes.get("cls_token") or (None,))[-1])

    def depth(self, default: int) -> Any:
        blocks = {key.split(".")[1] for key in self.shapes if key.startswith("blocks.")}
        return self("num_hidden_layers", default, len(blocks) or None)

    def heads(self, default: int, width_by_default: int) -> Any:
        """No tensor shows them, so their default is that of the default width alone."""
        if "num_attention_heads" not in self.config and self.width(width_by_default) != width_by_default:
            raise _UnsaidError
        return self("num_attention_heads", default)

    def side(self, patch: Any) -> Any:
        """Of the images that the position embedding is for."""
        positions = [0, *self.shapes.get("pos_embed", ())[:2]][-1]
        grid = next((n for n in range(1, 257) if n * n in (positions, positions - 1)), None)
        return self("image_size", 224, grid * patch if grid and isinstance(patch, int) else None)

    def demand(self, name: str, default: Any, wanted: Any) -> None:
        if (value := self(name, default)) != wanted:
            raise OtherNetworkError(f"a {self.kind} whose {name} is {value!r:.40}, not {wanted!r}")

    def named(self, table: Mapping[Any, str], *sizes: Any) -> str:
        key = sizes if len(sizes) > 1 else sizes[0]
        try:
            return table[key]
        except (KeyError, TypeError):
            raise OtherNetworkError(f"a {self.kind} of the sizes {', '.join(map(str, sizes))!s:.100}") from None

    def epsilon(self, default: float, timms: float) -> float | None:
        """None where it is timm's."""
        value = self("layer_norm_eps", default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise OtherNetworkError(f"a {self.kind} whose layer_norm_eps is {value!r:.40}")
        return None if value == timms else float(value)


def arch_of(config: Config, shapes: Shapes) -> str | None:
    """The architecture that a config with a ``model_type`` describes; None where it leaves out the number of heads.

    Args:
        shapes: torchvision's or timm's key to tensor shape; they show what the config leaves out.

    Raises:
        OtherNetworkError: it is none that is known here.
    """
    said = _Said(config, shapes)
    if said.kind not in RULES:
        raise OtherNetworkError(f"a {said.kind} (known are {', '.join(RULES)})")
    try:
        return RULES[said.kind](said)
    except _UnsaidError:
        return None


def _existing(said: _Said, model: str, **parts: Any) -> str:
    name = Variant(model, **parts).name
    if not is_timm(name):
        raise OtherNetworkError(f"a {said.kind} that would be called {name}")
    return OURS.get(name, name)


def _vit(said: _Said) -> str:
    said.demand("hidden_act", "gelu", "gelu")
    size = said.named(VIT_SIZES, said.width(768), said.heads(12, 768), said.depth(12))
    patch = said("patch_size", 16, (said.shapes.get("patch_embed.proj.weight") or (None,))[-1])
    side = said.side(patch)
    default = 1e-6 if said.kind == "vit_msn" else 1e-12
    name = f"vit_{size}_patch{patch}_{side}"
    image_size = None if is_timm(name) else side
    name = name if image_size is None else f"vit_{size}_patch{patch}_224"
    return _existing(said, name, image_size=image_size, epsilon=said.epsilon(default, 1e-6))


def _dinov2(said: _Said) -> str:
    if not said("use_swiglu_ffn", False):  # that one is gated by SiLU whatever hidden_act says
        said.demand("hidden_act", "gelu", "gelu")
    size = said.named(VIT_SIZES, said.width(768), said.heads(12, 768), said.depth(12))
    registers = "_reg4" if said.kind == "dinov2_with_registers" else ""
    side = said.side(14)
    name = f"vit_{size}_patch14{registers}_dinov2"
    image_size = None if side == 518 else side
    return _existing(said, name, image_size=image_size, epsilon=said.epsilon(1e-6, 1e-6))


def _dinov3(said: _Said) -> str:
    gated = bool(said("use_gated_mlp", False))
    said.demand("hidden_act", "gelu", "silu" if gated else "gelu")
    said.demand("rope_theta", 100.0, 100.0)
    size = said.named(DINOV3_SIZES, said.width(384), said.heads(6, 384), said.depth(12), gated)
    name = f"vit_{size}_patch16_dinov3" + ("_qkvb" if said("query_bias", True) else "")
    return _existing(said, name, epsilon=said.epsilon(1e-5, 1e-5))


def _convnext(said: _Said) -> str:
    said.demand("hidden_act", "gelu", "gelu")
    widths = said("hidden_sizes", (96, 192, 384, 768))
    size = said.named(CONVNEXT_SIZES, said("depths", (3, 3, 9, 3)), widths[0] if isinstance(widths, tuple) else widths)
    if said.kind == "dinov3_convnext":
        return _existing(said, f"convnext_{size}", epsilon=said.epsilon(1e-6, 1e-6))
    return _existing(said, f"convnext_{size}", last_epsilon=said.epsilon(1e-12, 1e-6))


def _swin(said: _Said) -> str:
    said.demand("hidden_act", "gelu", "gelu")
    sizes = said("embed_dim", 96), said("depths", (2, 2, 6, 2)), said("num_heads", (3, 6, 12, 24))
    name = f"swin_{said.named(SWIN_SIZES, *sizes)}_patch4_window{said('window_size', 7)}_{said('image_size', 224)}"
    return _existing(said, name, epsilon=said.epsilon(1e-5, 1e-5))


def _resnet(said: _Said) -> str:
    said.demand("hidden_act", "relu", "relu")
    said.demand("downsample_in_first_stage", False, False)
    said.demand("downsample_in_bottleneck", False, False)
    shown = "basic" if said.shapes and "layer1.0.conv3.weight" not in said.shapes else None
    return said.named(RESNETS, said("layer_type", "bottleneck", shown), said("depths", (3, 4, 6, 3)))


RULES: dict[str, Callable[[_Said], str]] = {
    **dict.fromkeys(("vit", "vit_mae", "vit_msn"), _vit),
    **dict.fromkeys(("dinov2", "dinov2_with_registers"), _dinov2),
    "dinov3_vit": _dinov3,
    **dict.fromkeys(("convnext", "dinov3_convnext"), _convnext),
    "swin": _swin,
    "resnet": _resnet,
}
