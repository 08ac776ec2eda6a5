"""Detection's training and test on fake tensors: the task's own, with Detectron2's model, trainer and hooks.

What Detectron2 makes of values comes at its largest, as :class:`tests.devices.watch.Invention` says: every mask is
true, NMS keeps all boxes, each region is pooled from each level. Two of its functions, whose results' shapes are
computed in tensors on the host, are replaced.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tests.devices.fake_cuda import fake_cuda
from tests.devices.steps import Seen
from tests.devices.watch import Watch, layout
from tests.noise_scene import SIZE, scene
from transfer import benchmarks, compat

compat.prepare_detectron2()

from detectron2.data import MetadataCatalog  # noqa: E402
from detectron2.modeling import poolers  # noqa: E402
from detectron2.structures import Boxes, ImageList  # noqa: E402
from detectron2.utils import comm  # noqa: E402

from transfer.tasks.detection import evaluate, losses, trainer  # noqa: E402
from transfer.tasks.detection.config import protocol_config  # noqa: E402
from transfer.tasks.detection.model import seeded_model  # noqa: E402

NUM_STEPS = 2  # of each kind; the first is counted: the last of training is written to the log
SHARE = 2  # images of one process


def work(
    name: str,
    *,
    arch: str = "",
    num_processes: int = 1,
    parts: int = 1,
    is_half: bool = False,
    fault: str | None = None,
) -> Seen:
    """Trains, takes the norms' precise statistics where the protocol does, and tests where there is one process.

    Args:
        name: of the benchmark.
        arch: the network, where the protocol takes any.
        parts: of each batch, which have two images each.
        is_half: whether in mixed precision.
        fault: a key of :data:`FAULTS`.
    """
    cfg = _config(name, arch)
    cfg.SOLVER.AMP.ENABLED = is_half
    seen = Seen()
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(fake_cuda(num_processes))
        for replaced in _replaced(watch):
            stack.enter_context(replaced)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(mock.patch.object(comm, "_LOCAL_PROCESS_GROUP", dist.group.WORLD))
        model = seeded_model(cfg, 0)
        model.register_forward_hook(lambda model, inputs, outputs: _note_losses(seen, outputs))
        kinds = iter(("training", "precise norms"))
        loaders = {"train_loader": lambda *args, **kwargs: _batches(next(kinds), cfg, model, parts, watch, seen)}
        stack.enter_context(mock.patch.multiple(trainer, **loaders))
        if fault:
            stack.enter_context(FAULTS[fault](model))
        stack.enter_context(watch)
        unheard = {"work_dir": folder, "fingerprint": "", "progress": lambda done, total: None}
        trainer.train(cfg, model, [], seed=0, parts=parts, **unheard)
        if num_processes == 1:
            stack.enter_context(_test_set(cfg, watch, seen))
            evaluate.evaluate(cfg, model, folder, progress=lambda done, total: None)
    return seen


def _config(name: str, arch: str) -> Any:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cuda")
    cfg.MODEL.NETWORK.ARCH = arch
    cfg.SOLVER.IMS_PER_BATCH = SHARE
    cfg.SOLVER.MAX_ITER = NUM_STEPS
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 100  # with every score above the threshold, NMS would go class by class
    cfg.TEST.PRECISE_BN.NUM_ITER = NUM_STEPS
    return cfg


def _batches(
    kind: str, cfg: Any, model: nn.Module, parts: int, watch: Watch, seen: Seen
) -> Iterator[list[dict[str, Any]]]:
    """Batches without end, as Detectron2's; what is done with the first is counted until the next is asked for."""
    watch.clear()
    for part in range(parts):
        if kind == "training" and part > 0:
            _note_gradients(model, seen)  # of the part before: a step in parts begins without
        yield [scene(cfg, 1), scene(cfg, 2)]
    seen.counts[kind] = watch.counts()
    if kind == "training" and parts == 1:
        _note_gradients(model, seen)
    while True:
        yield [scene(cfg, 1), scene(cfg, 2)]


def _note_gradients(model: nn.Module, seen: Seen) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            seen.without_gradient.append(name)
        elif parameter.grad is not None and layout(parameter.grad) != layout(parameter):
            seen.moved.append(name)


def _note_losses(seen: Seen, outputs: Any) -> None:
    if isinstance(outputs, dict):
        seen.dtypes |= {str(loss.dtype).removeprefix("torch.") for loss in outputs.values()}


def _replaced(watch: Watch) -> list[Any]:
    """Functions of Detectron2 that compute a shape in tensors."""

    def one_size(images: list[Tensor], *args: Any, **kwargs: Any) -> ImageList:
        return ImageList(torch.stack(images), [(SIZE, SIZE) for _ in images])

    def pooler_format(box_lists: list[Boxes]) -> Tensor:
        boxes = torch.cat([each.tensor for each in box_lists])
        watch.wait("repeat_interleave")  # of a tensor of counts
        return torch.cat((boxes.new_empty(len(boxes), 1), boxes), dim=1)

    return [
        mock.patch.object(ImageList, "from_tensors", one_size),
        mock.patch.object(poolers, "convert_boxes_to_pooler_format", pooler_format),
    ]


@contextlib.contextmanager
def _test_set(cfg: Any, watch: Watch, seen: Seen) -> Iterator[None]:
    """A test set of noise; the figures, which the host computes from detections on the host, are left out."""
    images = [
        {"image_id": number, "image": scene(cfg, 3)["image"], "height": SIZE, "width": SIZE, "annotations": []}
        for number in range(NUM_STEPS)
    ]
    MetadataCatalog.get("noise").set(
        thing_classes=["thing"] * cfg.MODEL.ROI_HEADS.NUM_CLASSES, year=2007, split="", dirname=""
    )
    figures = {"evaluate": lambda scorer: {}}
    with (
        mock.patch.multiple(
            evaluate,
            load_test_dicts=lambda cfg, root: images,
            build_detection_test_loader=lambda *args, **kwargs: _Images(images, watch, seen),
            DatasetMapper=lambda *args, **kwargs: None,
            register_dataset=lambda name, root, cfg: "noise",
        ),
        mock.patch.multiple(evaluate.VocEvaluator, **figures),
        mock.patch.multiple(evaluate.CocoEvaluator, **figures),
    ):
        yield


@dataclass
class _Images:
    """In the place of torch's DataLoader."""

    images: Sequence[dict[str, Any]]
    watch: Watch
    seen: Seen
    worker_init_fn: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        first, *others = ([image] for image in self.images)
        self.watch.clear()
        yield first
        self.seen.counts["test"] = self.watch.counts()
        yield from others


def _read(trainer: Any, found: Any, *args: Any) -> None:
    found["loss_cls"].item()
    write_metrics(trainer, found, *args)


write_metrics = losses.ReadsLossesOnce._write_metrics
FAULTS: dict[str, Callable[[nn.Module], Any]] = {
    "a mean made without its device": lambda model: mock.patch.dict(
        model._buffers, pixel_mean=torch.zeros(3, 1, 1, device="cpu")
    ),
    "a value read": lambda model: mock.patch.object(losses.ReadsLossesOnce, "_write_metrics", _read),
    "norms that wait": lambda model: mock.patch.object(trainer, "without_waits", lambda network: None),
}
