"""The pre-training recipes by name; each function's docstring holds the command and what to expect."""

from __future__ import annotations

from collections.abc import Callable

from pretrain.recipe import Recipe
from twist_common.errors import unknown_name
from twist_configs.pretrain.deit_s import deit_s
from twist_configs.pretrain.demo import demo
from twist_configs.pretrain.rn50 import rn50
from twist_configs.pretrain.rn50_cluster import rn50_cluster
from twist_configs.pretrain.rn50_nomc import rn50_nomc
from twist_configs.pretrain.rn50w2 import rn50w2
from twist_configs.pretrain.small import small
from twist_configs.pretrain.vit_b import vit_b

RECIPES: dict[str, Callable[[], Recipe]] = {
    "rn50": rn50,
    "rn50_nomc": rn50_nomc,
    "rn50_cluster": rn50_cluster,
    "rn50w2": rn50w2,
    "deit_s": deit_s,
    "vit_b": vit_b,
    "small": small,
    "demo": demo,
}
# Those whose batch follows from the number of images.
BY_NUMBER_OF_IMAGES: dict[str, Callable[[int], Recipe]] = {"small": small}


def get(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UserError: there is none.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]()
