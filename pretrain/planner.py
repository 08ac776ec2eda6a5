"""What a recipe costs: FLOPs, GPU-hours, days, GPU memory, and the CPU cores needed to keep the GPUs busy."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from pretrain.counting import Counts, count
from pretrain.model.norms import bunch_layout
from pretrain.recipe import NUM_GLOBAL_CROPS, Recipe
from twist_common.errors import UserError
from twist_common.gpu_kinds import A100, PEAK_SHARE, TERA, Gpu, pretraining_efficiency

IMAGENET_IMAGES = 1_281_167  # ILSVRC 2012, train
DIGITS_IMAGES = 4_000  # of the embedded digits, for training

GIB = 2**30
OVERHEAD_BYTES = 2 * GIB  # CUDA's context, buffers of NCCL and cuDNN, fragmentation
LOSS_COPIES = 3  # logits in single precision, their gradient, and the gradient before NBS

# Measured on one x86 server core with JPEG files of 500 x 375 px, for decoding and augmentation only; reading the files
# and passing the views to the training process come on top.
DECODE_SECONDS = 0.0011
VIEW_SECONDS = 0.0001
MEGAPIXEL_SECONDS = 0.015  # for the pixels of the views


@dataclass(frozen=True)
class Memory:
    """Bytes on each GPU at the end of the forward pass, when memory use peaks."""

    parameters: float
    gradients: float
    optimizer: float
    bf16_weights: float
    momentum_encoder: float
    views: float
    activations: float
    logits: float
    overhead: float = OVERHEAD_BYTES

    @property
    def total(self) -> float:
        return sum(vars(self).values())


@dataclass(frozen=True)
class TrainingPlan:
    """What a recipe costs on some GPUs.

    Attributes:
        efficiency: share of the GPU's peak throughput with 16-bit operands.
        is_measured: whether the user gave the efficiency; otherwise it is assumed.
        num_images: size of the data set.
        images_per_gpu: images that pass through the network together on each GPU.
        flop_per_image: forward and backward passes of all views in the first stage.
        flop_per_image_self_labeling: the same for the second stage.
        flop: of the whole run.
        images_per_second: of all GPUs together, in the first stage.
        core_seconds_per_image: time of one CPU core to decode an image and make all its views.
    """

    recipe: Recipe
    gpu: Gpu
    num_gpus: int
    efficiency: float
    is_measured: bool
    num_images: int
    counts: Counts
    images_per_gpu: int
    flop_per_image: float
    flop_per_image_self_labeling: float
    flop: float
    images_per_second: float
    memory: Memory
    core_seconds_per_image: float

    @property
    def gpu_hours(self) -> float:
        return self.flop / (self.gpu.tflops * TERA * self.efficiency) / 3600

    @property
    def days(self) -> float:
        return self.gpu_hours / self.num_gpus / 24

    @property
    def loader_cores(self) -> int:
        """For all GPUs together, at the speed of the first stage."""
        return math.ceil(self.images_per_second * self.core_seconds_per_image)


def plan(
    recipe: Recipe,
    *,
    gpu: Gpu = A100,
    num_gpus: int = 8,
    efficiency: float | None = None,
    num_images: int = IMAGENET_IMAGES,
    core_seconds_per_image: float | None = None,
) -> TrainingPlan:
    """Counts the operations of a recipe's network and works out what the run costs, in about a second.

    Args:
        efficiency: measured share of the GPU's peak that training reaches; by default
            :func:`twist_common.gpu_kinds.pretraining_efficiency`.
        num_images: size of the data set.
        core_seconds_per_image: see :class:`TrainingPlan`; by default :func:`default_core_seconds`.

    Raises:
        UserError: a number is out of range, or the GPUs cannot share the batch.
    """
    if num_gpus < 1 or num_images < 1:
        raise UserError(f"a plan for {num_images} images on {num_gpus} GPUs: both must be at least 1")
    part = recipe.data.batch_size // recipe.data.accumulation
    bunch_layout(recipe.model.bunch_size, part, num_gpus)
    counts = count(recipe.model, recipe.crops)
    first, second = flop_per_image(recipe, counts)
    share = efficiency or _assumed_efficiency(recipe, counts, gpu)
    if core_seconds_per_image is None:
        core_seconds_per_image = default_core_seconds(recipe)
    return TrainingPlan(
        recipe=recipe,
        gpu=gpu,
        num_gpus=num_gpus,
        efficiency=share,
        is_measured=efficiency is not None,
        num_images=num_images,
        counts=counts,
        images_per_gpu=part // num_gpus,
        flop_per_image=first,
        flop_per_image_self_labeling=second,
        flop=num_images * (recipe.epochs * first + recipe.self_labeling.epochs * second),
        images_per_second=num_gpus * gpu.tflops * TERA * share / first,
        memory=memory(recipe, counts, part // num_gpus),
        core_seconds_per_image=core_seconds_per_image,
    )


def flop_per_image(recipe: Recipe, counts: Counts) -> tuple[float, float]:
    """Floating-point operations for all views of one image, in the first and in the self-labeling stage.

    A multiply-accumulate is two operations. The backward pass takes twice as many as the forward pass, for the
    gradients of inputs and of weights: 6 x (2 global + L local + (2 + L) head). Accumulation repeats the forward pass:
    8 x. The momentum encoder's forward pass over the global views adds 2 x 2 (global + head).
    """
    crops = recipe.crops
    macs = (
        NUM_GLOBAL_CROPS * counts.global_crop.macs
        + crops.num_local * counts.local_crop.macs
        + crops.num_views * counts.head.macs
    )
    second = float((6 if recipe.data.accumulation == 1 else 8) * macs)
    teacher = 2 * NUM_GLOBAL_CROPS * (counts.global_crop.macs + counts.head.macs)
    return second + teacher * recipe.momentum_encoder.enabled, second


def _assumed_efficiency(recipe: Recipe, counts: Counts, gpu: Gpu) -> float:
    """The efficiency of a batch in one part; accumulation repeats forward passes at the same efficiency."""
    in_one_part = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, accumulation=1))
    flop, _ = flop_per_image(in_one_part, counts)
    return pretraining_efficiency(gpu, flop=flop, kept_bytes=kept_bytes_per_image(recipe, counts))


def kept_bytes_per_image(recipe: Recipe, counts: Counts) -> int:
    """Bytes that autograd keeps for the backward pass of all views of an image."""
    crops = recipe.crops
    return (
        NUM_GLOBAL_CROPS * counts.global_crop.saved_bytes
        + crops.num_local * counts.local_crop.saved_bytes
        + crops.num_views * counts.head.saved_bytes
    )


def memory(recipe: Recipe, counts: Counts, images_per_gpu: int) -> Memory:
    """Bytes on each GPU.

    These are parameters and gradients in single precision, and autocast's copy of the weights in bfloat16; one value
    per parameter for LARS, two for AdamW; the momentum encoder's parameters and their bfloat16 copy; the activations of
    one accumulated part, as counted on the network under autocast; views in single precision and logits of all parts.

    Args:
        images_per_gpu: images that pass through the network together on each GPU.
    """
    crops, num = recipe.crops, counts.num_parameters
    images_per_step = recipe.data.accumulation * images_per_gpu
    return Memory(
        parameters=4 * num,
        gradients=4 * num,
        optimizer=(8 if recipe.optim.name == "adamw" else 4) * num,
        bf16_weights=2 * num,
        momentum_encoder=6 * num * recipe.momentum_encoder.enabled,
        views=4 * 3 * images_per_step * crops.num_pixels,
        activations=images_per_gpu * kept_bytes_per_image(recipe, counts),
        logits=LOSS_COPIES * 4 * images_per_step * crops.num_views * recipe.model.num_classes,
    )


def default_core_seconds(recipe: Recipe) -> float:
    """Seconds that one core takes to decode an image and make its views, estimated from the number of pixels."""
    crops = recipe.crops
    return DECODE_SECONDS + VIEW_SECONDS * crops.num_views + MEGAPIXEL_SECONDS * crops.num_pixels / 1e6


def fitting_accumulation(plan: TrainingPlan) -> int | None:
    """The smallest accumulation with which the run fits into the GPUs' memory; None if there is none."""
    recipe = plan.recipe
    for accumulation in range(recipe.data.accumulation, recipe.data.batch_size // plan.num_gpus + 1):
        part, rest = divmod(recipe.data.batch_size, accumulation)
        if rest:
            continue
        try:
            bunch_layout(recipe.model.bunch_size, part, plan.num_gpus)
        except UserError:
            continue
        data = dataclasses.replace(recipe.data, accumulation=accumulation)
        changed = dataclasses.replace(recipe, data=data)
        if memory(changed, plan.counts, part // plan.num_gpus).total <= plan.gpu.memory_gib * GIB:
            return accumulation
    return None


def text(plan: TrainingPlan) -> str:
    """The plan as a few labelled lines, with its assumptions."""
    recipe, counts, crops, gpu = plan.recipe, plan.counts, plan.recipe.crops, plan.gpu
    title = (
        f"{recipe.name} on {plan.num_gpus} x {gpu.title}, {plan.num_images:,} images, at "
        f"{100 * plan.efficiency:.3g} % of {gpu.tflops:g} TFLOP/s"
    )
    speed = "as measured (--efficiency)"
    if not plan.is_measured:
        speed = (
            f"assumed, not measured: arithmetic at {100 * PEAK_SHARE:g} % of the peak, memory at {gpu.bandwidth:g} "
            "GB/s, as fitted to one H200; if you know the share of the peak that a run reached, give --efficiency"
        )
    views = f"{counts.global_crop.macs / 1e9:.2f} G for {crops.global_size} px"
    if crops.num_local:
        views += f", {counts.local_crop.macs / 1e9:.2f} G for {crops.local_size} px"
    work = f"{plan.flop_per_image / 1e9:.1f} GFLOP per image, {plan.flop:.2e} FLOP in {recipe.total_epochs} epochs"
    if plan.flop_per_image_self_labeling != plan.flop_per_image and recipe.self_labeling.epochs:
        work += f" ({plan.flop_per_image_self_labeling / 1e9:.1f} GFLOP per image when self-labeling)"
    hours = f"{plan.gpu_hours:,.0f}" if plan.gpu_hours >= 10 else f"{plan.gpu_hours:.2g}"
    lasts = f"{plan.days:.1f} days" if plan.days >= 1 else f"{24 * plan.days:.2g} hours"
    parts = {name.replace("_", " "): size / GIB for name, size in vars(plan.memory).items()}
    rows = {
        "network": f"{counts.num_parameters / 1e6:.1f} M parameters; multiply-accumulates of a view: {views}, "
        f"{counts.head.macs / 1e9:.3f} G for the head",
        "work": work,
        "time": f"{hours} GPU-hours, {lasts} at {plan.images_per_second:,.0f} images/s",
        "speed": speed,
        "memory": f"{plan.memory.total / GIB:.1f} of {gpu.memory_gib:g} GiB, {plan.images_per_gpu} images per GPU at a "
        f"time: {', '.join(f'{name} {size:.1f}' for name, size in parts.items() if size >= 0.05)}",
        "norms": f"batch norms see {plan.images_per_gpu * plan.num_gpus} of a step's {recipe.data.batch_size} images",
        "loading": f"{plan.loader_cores} cores, {math.ceil(plan.loader_cores / plan.num_gpus)} per GPU, at "
        f"{1000 * plan.core_seconds_per_image:.1f} ms of one core per image",
    }
    lines = [title, *(f"  {name:8} {line}" for name, line in rows.items())]
    if plan.memory.total > gpu.memory_gib * GIB:
        note = "too much for this GPU's memory: use more GPUs or larger ones"
        if accumulation := fitting_accumulation(plan):
            slower = ", which takes a third longer" if recipe.data.accumulation == 1 else ""
            note = (
                f"too much for this GPU's memory: it fits with data.accumulation={accumulation}{slower}; batch norms "
                f"then see {recipe.data.batch_size // accumulation} images, which is another recipe"
            )
        lines.append(f"  note: {note}")
    if not gpu.has_bf16:
        lines.append(
            f"  note: a {gpu.title} has no bfloat16, which this plan assumes: training will be slower than planned"
        )
    return "\n".join(lines)
