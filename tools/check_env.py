"""Is the environment that runs this file complete? Looks, without importing anything heavy (0.1 s)."""

import importlib.metadata
import importlib.util
import sys

PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "detectron2": "pb1-detectron2",
    "mmseg": "mmsegmentation",
    "mmcv": "mmcv-lite",
    "mmengine": "mmengine",
    "cv2": "opencv-python-headless",
    "sklearn": "scikit-learn",
    "tyro": "tyro",
    "pytest": "pytest",
}


def missing_packages() -> list[str]:
    """Names of the packages whose module or metadata cannot be found."""
    missing = []
    for module, distribution in PACKAGES.items():
        try:
            importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            missing.append(distribution)
            continue
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:  # a folder without its __init__.py is a half-removed package
            missing.append(distribution)
    return missing


if __name__ == "__main__":
    if missing := missing_packages():
        print(f"setup: not installed in {sys.prefix}: {', '.join(missing)}", file=sys.stderr)
        sys.exit(1)
