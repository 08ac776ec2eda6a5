"""TWIST pre-training: ``python -m pretrain.train RECIPE [--data DIR] [--out DIR] [key=value ...]``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

import twist_configs.pretrain
from pretrain import checks
from pretrain.data.listing import count_images
from pretrain.on_slurm import PretrainSlurmArgs, PretrainTask, submit
from pretrain.recipe import Recipe
from pretrain.run.finished import is_finished
from pretrain.run.process import run_process
from twist_common import cli, overrides, slurm
from twist_common.errors import UserError
from twist_common.gpu_kinds import A100, GpuArgs
from twist_common.places import data_root


@dataclass(frozen=True)
class Args:
    """Pre-trains a backbone with TWIST.

    Writes checkpoint.pth, backbone.pth (for convert.sh, transfer and clustering), metrics.jsonl and TensorBoard curves.
    Killed at any moment and started again with the same arguments, it resumes from its last checkpoint; when asked to
    stop (SIGTERM, SIGUSR1, SIGUSR2) it first writes one. A finished run is left unchanged.

    With fewer GPUs than the recipe was designed for, data.accumulation=4 keeps the batch, processed in four parts.

    settings, with the values of rn50 (docs/settings.md explains each, `twist_configs/pretrain` each recipe's choices):
    {settings}

    examples:
      tools/pretrain.sh rn50 --data /data/imagenet
      tools/pretrain.sh rn50 --plan --gpu h100 --gpus 8
      tools/pretrain.sh small --data /data/photographs epochs=50 crops.global_size=224
    """

    recipe: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="RECIPE", help=f"One of {', '.join(twist_configs.pretrain.RECIPES)}."),
    ]
    overrides: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE ...")] = ()
    """Settings of the recipe to change, e.g. epochs=20 data.batch_size=512 optim.lr=0.1 run.num_workers=4."""
    #: Folder with train/<class>/<image>, with unlabelled images or WebDataset shards (*.tar), or a list of images.
    #: Default $DATA_ROOT/<name>, or data/<name> in the checkout, or here without one.
    data: Path | None = None
    out: Path | None = None
    """Output folder; default runs/pretrain/<recipe>."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Auto uses all GPUs of the machine, one process each, or the CPU if there are none."""
    momentum_encoder: bool | None = None
    """Use a moving average of the network as teacher; default: the recipe's choice, which is yes for ViTs."""
    plan: bool = False
    """Do not train; print FLOPs, GPU-hours, memory and the CPU cores needed for loading."""
    kind: GpuArgs = field(default_factory=GpuArgs)
    gpus: int | None = None
    """With --plan: number of GPUs; default 8, of the kind a100-40gb unless another is given."""
    launcher: Literal["local", "slurm"] = "local"
    """Slurm: run as a job on the cluster, which is requeued and resumes (docs/slurm.md)."""
    cluster: PretrainSlurmArgs = field(default_factory=PretrainSlurmArgs)


def main(args: Args) -> int:
    """Resolves the recipe, the data and the output folder, and trains."""
    recipe, out = resolved(args)
    data = args.data or default_data(recipe)
    num_images = known_images(args.recipe, data)
    if num_images and os.environ.get("RANK", "0") == "0":
        print(sizes_line(recipe, num_images))
    if args.gpus is not None and args.gpus < 1:
        raise UserError(f"--gpus is {args.gpus}: give a whole number from 1 up")
    if args.plan:
        from pretrain import planner

        plan = planner.plan(
            recipe,
            gpu=args.kind.resolved() or A100,
            num_gpus=8 if args.gpus is None else args.gpus,
            efficiency=args.kind.efficiency,
            num_images=num_images or planned_images(args, recipe),
        )
        print(planner.text(plan))
        return cli.EXIT_DONE
    if given := [*args.kind.given(), *(["--gpus"] if args.gpus is not None else [])]:
        raise UserError(f"{given[0]} is for a plan: give --plan too, or leave it out")
    if not is_finished(out, recipe):
        if args.launcher == "slurm":
            task = PretrainTask(recipe=recipe, data=data.resolve(), out=out.resolve(), device=args.device)
            return submit(task, args.cluster)
        if option := slurm.given(args.cluster):
            raise UserError(f"{option} is for jobs of a cluster: give --launcher slurm too")
    return run_process(recipe, data=data, out=out, device=args.device)


def resolved(args: Args) -> tuple[Recipe, Path]:
    """The recipe, with all settings checked, and the output folder.

    Raises:
        UserError: an unknown recipe or setting, or a value that is not possible.
    """
    overrides.check_once(args.overrides)
    recipe = twist_configs.pretrain.get(args.recipe)
    if num_images := known_images(args.recipe, args.data or default_data(recipe)):
        recipe = twist_configs.pretrain.BY_NUMBER_OF_IMAGES[args.recipe](num_images)
    recipe = overrides.apply(recipe, args.overrides)
    if args.momentum_encoder is not None:
        recipe = overrides.apply(recipe, [f"momentum_encoder.enabled={args.momentum_encoder}"])
    checks.check(recipe)
    return recipe, args.out or Path("runs/pretrain") / recipe.name


def known_images(name: str, data: Path) -> int | None:
    """The number of images, if the recipe depends on it."""
    if name not in twist_configs.pretrain.BY_NUMBER_OF_IMAGES or not data.exists():
        return None
    return count_images(data)


def planned_images(args: Args, recipe: Recipe) -> int:
    """The number of images that a plan assumes: that of the data if they are there, else the data set's known size."""
    from pretrain.planner import DIGITS_IMAGES, IMAGENET_IMAGES

    data = args.data or default_data(recipe)
    if data.exists() and (args.data or recipe.data.dataset != "imagenet"):  # counting a million files takes its time
        return count_images(data)
    return DIGITS_IMAGES if recipe.data.dataset == "digits" else IMAGENET_IMAGES


def sizes_line(recipe: Recipe, num_images: int) -> str:
    """The batch and bunch that follow from the number of images, for people."""
    batch_size = recipe.data.batch_size
    bunch_size = recipe.model.bunch_size or batch_size // recipe.data.accumulation
    return (
        f"{recipe.name}: {num_images:,} images, batch {batch_size}, bunch {bunch_size}, "
        f"{num_images // batch_size:,} steps in each of {recipe.epochs:,} epochs"
    )


def settings_lines() -> str:
    """The settings of rn50, grouped as in ``--help``."""
    groups: dict[str, list[str]] = {}
    for text in overrides.settings(twist_configs.pretrain.get("rn50")):
        group, dot, _ = text.partition("=")[0].partition(".")
        groups.setdefault(group if dot else "recipe", []).append(text)
    groups["recipe"].remove("name=rn50")
    return "\n".join(f"  {group:18}{' '.join(texts)}" for group, texts in groups.items())


def default_data(recipe: Recipe) -> Path:
    """The folder of the recipe's data set if ``--data`` is not given."""
    return data_root() / recipe.data.dataset


if __name__ == "__main__":
    cli.run(Args, main, prog="tools/pretrain.sh", settings=settings_lines())
