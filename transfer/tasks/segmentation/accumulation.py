"""A batch in parts, where a GPU has no room for its share: one step of the optimizer from several backward passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import LOOPS
from torch.utils.data import DataLoader

from transfer.protocol_lock import accumulation
from transfer.tasks.network_cost import activation_bytes

ALL_STAGES = 4  # the frozen_stages that freezes all of a ResNet

# A pixel of the crop in single precision, counted from what autograd keeps for the backward pass: 2,154 for R50 at
# crop 512, 441 of them for pyramid and head, which are some 570 with a ViT-B; 220 for the linear head on a frozen R50
# at crop 256. Rounded up for what exists for a moment only (gradients of maps, workspaces) and for the optimizer's
# state; the sums have not been checked on a GPU. Too high a figure costs time on small GPUs, too low a figure a failed
# trial.
PIXEL_BYTES = {"ResNet": 4096, "pyramid and head": 1024, "frozen": 1024}
CLASS_BYTES = 16  # a class more than VOC's 21: its scores at full size, their gradients and two copies in the loss
ROUNDED_UP = 1.5  # what is counted of any other backbone


def parts_of_batch(config: Config, *, device: str, num_processes: int) -> int:
    """Into how many parts each GPU's share of the batch is divided; 1 on CPU, whose protocols are small.

    Raises:
        UserError: not even one image fits into the GPU's memory.
    """
    if device == "cpu":
        return 1
    return accumulation(
        config.train_dataloader.batch_size,
        num_devices=num_processes,
        device_bytes=torch.cuda.get_device_properties(0).total_memory,
        image_bytes=image_bytes(config),
    )


def uses_batch_norm(config: Config) -> bool:
    """Whether a layer of the config's model normalises by the statistics of the batch in training."""

    def has_one(part: Any) -> bool:
        if isinstance(part, Mapping):
            return part.get("type") in ("BN", "SyncBN") or any(map(has_one, part.values()))
        return isinstance(part, (list, tuple)) and any(map(has_one, part))

    backbone = config.model.backbone
    is_fixed = backbone.get("norm_eval", False) or backbone.get("frozen_stages", -1) >= ALL_STAGES
    return any(has_one(part) for name, part in config.model.items() if name != "backbone" or not is_fixed)


def image_bytes(config: Config) -> int:
    """What training takes for one image of the config's crop, roughly."""
    backbone, (height, width) = config.model.backbone, config.model.data_preprocessor.size
    of_scores = CLASS_BYTES * max(config.model.decode_head.num_classes - 21, 0) * height * width
    if backbone.get("frozen_stages", -1) >= ALL_STAGES or backbone.get("frozen"):
        return of_scores + PIXEL_BYTES["frozen"] * height * width
    if backbone.type == "ResNet":
        return of_scores + PIXEL_BYTES["ResNet"] * height * width
    of_backbone = round(ROUNDED_UP * activation_bytes(backbone.arch, height, width))
    return of_scores + of_backbone + PIXEL_BYTES["pyramid and head"] * height * width


def accumulate(config: Config, parts: int) -> None:
    """Makes a config train in parts, in place, and the loop known to it; 1 leaves it as it is."""
    if parts == 1:
        return
    LOOPS.register_module(module=AccumulatingTrainLoop, force=True)
    config.train_cfg.type = AccumulatingTrainLoop.__name__
    config.train_cfg.parts = parts
    config.optim_wrapper.accumulative_counts = parts


class AccumulatingTrainLoop(IterBasedTrainLoop):
    """Divides each batch among several forward and backward passes, after which the optimizer takes its step.

    An iteration is what it is in the protocol: the same images, one step, one turn of every schedule and interval. So
    there is nothing to convert, and a resumed trial begins between two steps.

    The loss of each part is its mean and the gradient is the mean over parts, as data parallel training takes it over
    processes: one GPU with k parts has the gradient of k GPUs. Batch norm sees one part at a time.

    Args:
        parts: divides each process's share of the batch evenly.
        settings: of MMEngine's loop.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *, parts: int, **settings: Any) -> None:
        super().__init__(runner, dataloader, **settings)
        self._parts = parts

    def run(self) -> Any:
        # MMEngine counts backward passes, and has just been given iterations
        done, total = self.iter * self._parts, self.max_iters * self._parts
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, done, total)
        return super().run()

    def run_iter(self, data_batch: Mapping[str, Sequence[Any]]) -> None:
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        logged = [
            self.runner.model.train_step(part, optim_wrapper=self.runner.optim_wrapper)
            for part in divided(data_batch, self._parts)
        ]
        outputs = {name: torch.stack([each[name].detach() for each in logged]).mean(dim=0) for name in logged[0]}
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1


def divided(batch: Mapping[str, Sequence[Any]], parts: int) -> list[dict[str, Sequence[Any]]]:
    """The batch's images, in order, in parts of one size.

    Args:
        batch: as MMSegmentation collates it: each value has one item per image.
        parts: divides their number.
    """
    size = len(next(iter(batch.values()))) // parts
    starts = (part * size for part in range(parts))
    return [{name: items[start : start + size] for name, items in batch.items()} for start in starts]
