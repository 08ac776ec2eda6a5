"""Is the environment that runs this file complete? Looks, without importing anything heavy (0.1 s)."""

import importlib.metadata
import importlib.util
import sys

# module: the distributions that may provide it (docs/install.md: builds of one's own count as well)
PACKAGES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "timm": ("timm",),
    "detectron2": ("pb1-detectron2", "detectron2"),
    "mmseg": ("mmsegmentation", "onedl-mmsegmentation"),
    "mmcv": ("mmcv-lite", "mmcv", "onedl-mmcv"),
    "mmengine": ("mmengine", "onedl-mmengine"),
    "cv2": ("opencv-python-headless", "opencv-python"),
    "sklearn": ("scikit-learn",),
    "tyro": ("tyro",),
    "pytest": ("pytest",),
}


def is_installed(distribution: str) -> bool:
    """Whether the distribution's metadata is there."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def missing_packages() -> list[str]:
    """Names of the packages whose module or metadata cannot be found."""
    missing = []
    for module, distributions in PACKAGES.items():
        spec = importlib.util.find_spec(module)
        # a folder without its __init__.py is a half-removed package
        if spec is None or spec.origin is None or not any(map(is_installed, distributions)):
            missing.append(distributions[0])
    return missing


if __name__ == "__main__":
    if missing := missing_packages():
        print(f"setup: not installed in {sys.prefix}: {', '.join(missing)}", file=sys.stderr)
        sys.exit(1)
