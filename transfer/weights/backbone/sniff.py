"""Files that are no checkpoint of torch's or of safetensors: named for what they are, with the next step."""

from __future__ import annotations

import re
import tarfile
import zlib
from pathlib import Path

from twist_common.errors import UserError

HEADER = 512

UNPACK = "unpack it first, and give what is in it"
CONVERT = "convert it to PyTorch and torch.save its state dict"
ORIGINAL = "give the PyTorch checkpoint that it was exported from"
EXPORTED = "torch.save(torch.export.load(FILE).state_dict, OTHER), and give that"
BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer to one", "run git lfs pull in its folder"),
    (b"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\x89HDF", "an HDF5 file (Keras)", CONVERT),
    (b"\x93NUMPY", "a NumPy array", "give the checkpoint that torch.save wrote"),
    (b"GGUF", "a GGUF file", "give the original weights"),
    # github.com/apache/mxnet: src/ndarray/ndarray.cc, kMXAPINDArrayListMagic
    (b"\x12\x01\x00\x00\x00\x00\x00\x00", "MXNet's parameters (gluon)", CONVERT),
    (b"{", "JSON, which describes weights or an error", "give the file of the weights themselves"),
    (b"\x89PNG", "a picture", "give the file of the weights"),
    (b"\xff\xd8\xff", "a picture", "give the file of the weights"),
)
# formats without a beginning of their own
BY_SUFFIX: dict[str, tuple[str, str]] = {
    ".caffemodel": ("Caffe's network, which takes BGR", CONVERT),
    ".msgpack": ("Flax's parameters (JAX)", CONVERT),
    ".mlmodel": ("a Core ML network", ORIGINAL),
    ".engine": ("a TensorRT network", ORIGINAL),
    ".trt": ("a TensorRT network", ORIGINAL),
    ".tflite": ("a TensorFlow Lite network", ORIGINAL),
    ".pb": ("a TensorFlow graph", CONVERT),
    ".onnx": ("an ONNX network", ORIGINAL),
    ".joblib": ("what joblib wrote", "load it where it was made and torch.save its state dict"),
    ".yaml": ("a text of settings", "give the file of the weights"),
    ".md": ("a text", "give the file of the weights"),
    ".txt": ("a text", "give the file of the weights"),
    **dict.fromkeys((".crdownload", ".part", ".incomplete", ".aria2"), ("an unfinished download", "download it again")),
}
# entries of zip archives that other libraries write, to what they are
ZIPS: tuple[tuple[str, str, str], ...] = (
    ("model.weights.h5", "a Keras network", CONVERT),
    ("serialized_state_dict", "a network that torch.export wrote", EXPORTED),
    ("archive_format", "a network that torch.export wrote", EXPORTED),
)
TENSORFLOW = re.compile(r"\.ckpt(-\d+)?\.(index|meta|data-\d+-of-\d+)$|^saved_model\.pb$")
SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".tar", ".safetensors", ".pkl")


def refuse_other_kinds(path: Path, head: bytes) -> None:
    """Raises :class:`UserError` if the first bytes (or TensorFlow's names) show another kind of file."""
    lower = head.lstrip().lower()
    for beginning, kind, step in BEGINNINGS:
        if head.startswith(beginning):
            raise _refusal(path, kind, step)
    if path.suffix == ".xml":
        raise _refusal(path, "a network's description (OpenVINO)", ORIGINAL)
    if lower.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise _refusal(path, "a web page, saved in its place", "download the file itself (its raw or resolve link)")
    if head.startswith(b"\x1f\x8b"):
        inner = path.stem if path.suffix in (".gz", ".tgz") else "the file in it"
        tar = " tar" if path.suffix == ".tgz" or b"ustar" in _inflated(head) else ""
        raise _refusal(path, f"a gzip{tar} archive", f"unpack it first (gunzip), and give {inner}")
    if not head.strip(b"\0"):
        raise _refusal(path, "zeros, as in an unfinished download", "copy or download it again")
    if head[257:262] == b"ustar" or (b"\x00" in head[:100] and _is_tar(path)):
        raise _refusal(path, *_tar(path))
    if head[:1] == b"\x08" and (path.suffix == ".onnx" or b"onnx" in head or b"pytorch" in head[:40]):
        raise _refusal(path, *BY_SUFFIX[".onnx"])
    if TENSORFLOW.search(path.name):
        raise _refusal(path, "part of a TensorFlow checkpoint", CONVERT)
    if head[4:8] == b"TFL3":
        raise _refusal(path, *BY_SUFFIX[".tflite"])


def refuse_other_zips(path: Path, names: list[str]) -> None:
    """Raises :class:`UserError` for an archive that ``torch.save`` did not write."""
    if any(name.split("/")[-1] == "constants.pkl" for name in names):
        step = "torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), OTHER), and give that"
        raise _refusal(path, "a TorchScript network", step)
    if names and all(name.endswith(".npy") for name in names):
        step = "convert it to PyTorch (timm.create_model(..., checkpoint_path=FILE) reads Google's ViTs) and torch.save"
        raise _refusal(path, "NumPy arrays (.npz: JAX, Google's ViT)", f"{step} its state dict")
    for entry, kind, step in ZIPS:
        if any(name.split("/")[-1].startswith(entry) for name in names):
            raise _refusal(path, kind, step)
    pickles = [name for name in names if re.fullmatch(r"([^/]+/)?data\.pkl", name)]
    if len(pickles) != 1:
        inside = [name for name in names if name.endswith(SUFFIXES)]
        what = f"{inside[0]} out of it" if inside else "the checkpoint in it, if it holds one"
        raise _refusal(path, "a zip archive of other files", f"unpack it first, and give {what}")


def kind_by_suffix(path: Path) -> UserError | None:
    """What a file that nothing here can read is by its name; None where that is no format's."""
    said = BY_SUFFIX.get(path.suffix.lower())
    return _refusal(path, *said) if said else None


def kind_of_pickle(content: object) -> str:
    """What a pickle with this in it is, which ``torch.save`` did not write, and what to do."""
    entries = content if isinstance(content, dict) else {}
    if "__author__" in entries:
        return (
            "it is NumPy arrays as Detectron2 takes them (.pkl), what a conversion to Detectron2 writes: "
            "give the checkpoint that it was converted from"
        )
    if "StructuredToParameterName@@" in entries:  # github.com/PaddlePaddle/Paddle: python/paddle/framework/io.py
        return f"it is PaddlePaddle's parameters: {CONVERT}"
    if "blobs" in entries or "conv1_w" in entries:  # Detectron2's and Detectron's ImageNetPretrained/MSRA
        return (
            "it is Caffe2's arrays (Detectron's R-50.pkl and the like), which take BGR and have the stride in the "
            "1x1 convolution: give a PyTorch checkpoint that takes RGB"
        )
    if "experiment_state" in entries:  # github.com/google-deepmind/deepmind-research: byol/utils/checkpointing.py
        return f"it is JAX's arrays (DeepMind's BYOL): {CONVERT}"
    return "it is a pickle that torch.save did not write: load it where it was made and torch.save its state dict"


def _refusal(path: Path, kind: str, step: str) -> UserError:
    return UserError(f"{path} is not a checkpoint but {kind}: {step}")


def _inflated(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEADER)
    except zlib.error:
        return b""


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except (OSError, ValueError):
        return False


def _tar(path: Path) -> tuple[str, str]:
    try:
        with tarfile.open(path, "r:") as archive:
            names = [member.name for _, member in zip(range(1000), archive, strict=False)]
    except (tarfile.TarError, OSError, ValueError):
        names = []
    if {"storages", "tensors", "pickle"} <= set(names):
        return "one from before torch 0.1.10 (a tar)", "load it with torch in a sandbox and torch.save its state dict"
    inside = [name for name in names if name.endswith(SUFFIXES)]
    return "a tar archive", f"unpack it first, and give {inside[0] if inside else 'what is in it'}"
