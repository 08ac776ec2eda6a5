"""A batch in parts, where a GPU has no room for its share: one step of the optimizer from several backward passes."""

from __future__ import annotations

import contextlib
import time

import torch
from detectron2.config import CfgNode
from torch import nn

from transfer.protocol_lock import accumulation
from transfer.tasks.detection.losses import Trainer
from transfer.tasks.detection.model import SYNCHRONISED_NORMS, takes_any
from transfer.tasks.network_cost import activation_bytes
from transfer.weights.backbone.architecture import expected_shapes

GIB = 2**30
ALL_STAGES = 5  # the FREEZE_AT that freezes all of a network

# An image of 800 x 1333 pixels in single precision, R50: counted from the activations that the backward pass keeps and
# rounded up, not measured. Too high a figure costs time on small GPUs, too low a figure a failed trial.
IMAGE_BYTES = {"FPN": 4 * GIB, "C4": 6 * GIB, "frozen": 2 * GIB}
LARGEST_IMAGE = (800, 1344)  # in whole strides


def parts_of_batch(cfg: CfgNode, num_processes: int) -> int:
    """Into how many parts each GPU's share of the batch is divided; 1 on CPU, whose protocols are small.

    Raises:
        UserError: not even one image fits into the GPU's memory.
    """
    if cfg.MODEL.DEVICE == "cpu":
        return 1
    return accumulation(
        cfg.SOLVER.IMS_PER_BATCH,
        num_devices=num_processes,
        device_bytes=torch.cuda.get_device_properties(0).total_memory,
        image_bytes=image_bytes(cfg),
    )


def uses_batch_norm(cfg: CfgNode) -> bool:
    """Whether a layer of the config's model normalises by the statistics of the batch in training."""
    model = cfg.MODEL
    norms = [model.FPN.NORM, model.ROI_BOX_HEAD.NORM, model.ROI_MASK_HEAD.NORM]
    if any(norm in ("BN", *SYNCHRONISED_NORMS) for norm in norms):
        return True
    if model.BACKBONE.FREEZE_AT >= ALL_STAGES:
        return False
    if takes_any(cfg):
        return any(key.endswith("running_mean") for key in expected_shapes(model.NETWORK.ARCH))
    return model.RESNETS.NORM in ("BN", *SYNCHRONISED_NORMS)


def image_bytes(cfg: CfgNode) -> int:
    """What training takes for one image."""
    if cfg.MODEL.BACKBONE.FREEZE_AT >= ALL_STAGES:
        return IMAGE_BYTES["frozen"]
    if takes_any(cfg):  # pyramid and heads are what is left when the backbone is frozen
        return IMAGE_BYTES["frozen"] + activation_bytes(cfg.MODEL.NETWORK.ARCH, *LARGEST_IMAGE)
    return IMAGE_BYTES["C4" if "res4" in cfg.MODEL.ROI_HEADS.IN_FEATURES else "FPN"]


class AccumulatingTrainer(Trainer):
    """One step of the optimizer from several parts of a batch, each with its own forward and backward pass.

    Each part's losses are means over that part and the gradient is the mean over parts, as data parallel training
    takes it over processes: one GPU with k parts has the gradient of k GPUs. Batch norm sees one part at a time.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: torch.utils.data.DataLoader,
        optimizer: torch.optim.Optimizer,
        *,
        parts: int,
    ) -> None:
        super().__init__(model, loader, optimizer)
        self._parts = parts

    def run_step(self) -> None:
        self.optimizer.zero_grad()
        data_seconds = 0.0
        means: dict[str, torch.Tensor] = {}
        for part in range(self._parts):
            start = time.perf_counter()
            images = next(self._data_loader_iter)
            data_seconds += time.perf_counter() - start
            is_last = part == self._parts - 1
            is_parallel = isinstance(self.model, nn.parallel.DistributedDataParallel)
            # processes exchange gradients once per step, with the last part
            with self.model.no_sync() if is_parallel and not is_last else contextlib.nullcontext():
                losses = {name: loss / self._parts for name, loss in self.model(images).items()}
                sum(losses.values()).backward()
            for name, loss in losses.items():
                means[name] = means.get(name, torch.zeros_like(loss)) + loss.detach()
        self._write_metrics(means, data_seconds)  # raises if a loss is not finite
        self.optimizer.step()
