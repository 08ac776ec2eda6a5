"""What one image costs in the dense benchmarks: counted once by ``python -m transfer.tasks.count``."""

from __future__ import annotations

from dataclasses import replace

from transfer.weights.backbone import architecture
from transfer.work import Flop, ModelCost

COSTS: dict[str, ModelCost] = {
    "voc": ModelCost(
        train=Flop(9.747e11, 3.978e10), test=Flop(5.577e11, 2.59e10), num_parameters=42_759_348, num_trained=42_759_348
    ),
    "coco": ModelCost(
        train=Flop(1.185e12, 4.072e10), test=Flop(6.636e11, 2.651e10), num_parameters=45_711_152, num_trained=45_711_152
    ),
    "voc-c4": ModelCost(
        train=Flop(2.822e12, 6.354e08), test=Flop(1.794e12, 4.137e08), num_parameters=33_234_160, num_trained=33_234_160
    ),
    "coco-c4": ModelCost(
        train=Flop(2.938e12, 2.523e09), test=Flop(1.977e12, 1.642e09), num_parameters=35_966_828, num_trained=35_966_828
    ),
    "voc-frozen": ModelCost(
        train=Flop(7.886e11, 3.978e10), test=Flop(5.577e11, 2.59e10), num_parameters=42_706_228, num_trained=19_251_316
    ),
    "coco-frozen": ModelCost(
        train=Flop(9.409e11, 4.072e10), test=Flop(6.636e11, 2.651e10), num_parameters=45_658_032, num_trained=22_203_120
    ),
    "demo-voc": ModelCost(
        train=Flop(1.549e09, 1.175e08), test=Flop(5.259e08, 8.159e07), num_parameters=12_240_189, num_trained=12_240_189
    ),
    "demo-voc-frozen": ModelCost(
        train=Flop(6.835e08, 1.175e08), test=Flop(5.259e08, 8.159e07), num_parameters=12_230_589, num_trained=1_063_677
    ),
    "demo-coco": ModelCost(
        train=Flop(1.841e09, 1.175e08), test=Flop(7.03e08, 8.159e07), num_parameters=12_330_686, num_trained=12_330_686
    ),
    "seg-voc": ModelCost(
        train=Flop(2.629e11, 0), test=Flop(1.183e11, 0), num_parameters=28_478_933, num_trained=28_478_933
    ),
    "seg-cityscapes": ModelCost(
        train=Flop(6.078e11, 0), test=Flop(1.628e12, 0), num_parameters=28_478_675, num_trained=28_478_675
    ),
    "seg-ade20k": ModelCost(
        train=Flop(2.645e11, 0), test=Flop(1.19e11, 0), num_parameters=28_495_574, num_trained=28_495_574
    ),
    "seg-ade20k-frozen": ModelCost(
        train=Flop(4.742e10, 0), test=Flop(6.071e10, 0), num_parameters=24_084_632, num_trained=576_600
    ),
    "demo-seg": ModelCost(
        train=Flop(4.007e09, 0), test=Flop(1.361e09, 0), num_parameters=11_487_810, num_trained=11_487_810
    ),
    "seg-voc-frozen": ModelCost(
        train=Flop(4.337e10, 0), test=Flop(5.799e10, 0), num_parameters=23_588_756, num_trained=80_724
    ),
    "seg-cityscapes-frozen": ModelCost(
        train=Flop(1.01e11, 0), test=Flop(8.028e11, 0), num_parameters=23_581_068, num_trained=73_036
    ),
    "demo-seg-frozen": ModelCost(
        train=Flop(1.19e09, 0), test=Flop(1.187e09, 0), num_parameters=11_187_116, num_trained=10_604
    ),
}

# Protocols that take any network: everything but the network, by whether it has a pyramid of its own. Counted with a
# ResNet-50 and a ViT-B; other widths change a few percent.
REST: dict[str, dict[str, ModelCost]] = {
    "voc-any": {
        "pyramid": ModelCost(
            train=Flop(7.071e11, 3.978e10),
            test=Flop(4.159e11, 2.59e10),
            num_parameters=19_251_316,
            num_trained=19_251_316,
        ),
        "plain": ModelCost(
            train=Flop(7.459e11, 3.978e10),
            test=Flop(4.362e11, 2.59e10),
            num_parameters=21_464_884,
            num_trained=21_464_884,
        ),
    },
    "coco-any": {
        "pyramid": ModelCost(
            train=Flop(8.366e11, 4.072e10),
            test=Flop(4.159e11, 2.651e10),
            num_parameters=22_203_120,
            num_trained=22_203_120,
        ),
        "plain": ModelCost(
            train=Flop(8.863e11, 4.072e10),
            test=Flop(4.362e11, 2.651e10),
            num_parameters=24_416_688,
            num_trained=24_416_688,
        ),
    },
    "voc-any-frozen": {
        "pyramid": ModelCost(
            train=Flop(6.986e11, 3.978e10),
            test=Flop(4.159e11, 2.59e10),
            num_parameters=19_251_316,
            num_trained=19_251_316,
        ),
        "plain": ModelCost(
            train=Flop(7.347e11, 3.978e10),
            test=Flop(4.362e11, 2.59e10),
            num_parameters=21_464_884,
            num_trained=21_464_884,
        ),
    },
    "coco-any-frozen": {
        "pyramid": ModelCost(
            train=Flop(8.257e11, 4.072e10),
            test=Flop(4.159e11, 2.651e10),
            num_parameters=22_203_120,
            num_trained=22_203_120,
        ),
        "plain": ModelCost(
            train=Flop(8.719e11, 4.072e10),
            test=Flop(4.362e11, 2.651e10),
            num_parameters=24_416_688,
            num_trained=24_416_688,
        ),
    },
    "seg-voc-any": {
        "pyramid": ModelCost(
            train=Flop(1.36e11, 0), test=Flop(6.012e10, 0), num_parameters=4_970_901, num_trained=4_970_901
        ),
        "plain": ModelCost(
            train=Flop(2.109e11, 0), test=Flop(9.227e10, 0), num_parameters=11_067_541, num_trained=11_067_541
        ),
    },
    "seg-cityscapes-any": {
        "pyramid": ModelCost(
            train=Flop(3.06e11, 0), test=Flop(8.159e11, 0), num_parameters=4_970_643, num_trained=4_970_643
        ),
        "plain": ModelCost(
            train=Flop(4.939e11, 0), test=Flop(1.317e12, 0), num_parameters=11_067_283, num_trained=11_067_283
        ),
    },
    "seg-voc-any-frozen": {
        "pyramid": ModelCost(
            train=Flop(6.606e08, 0), test=Flop(4.376e08, 0), num_parameters=80_724, num_trained=80_724
        ),
        "plain": ModelCost(train=Flop(2.642e08, 0), test=Flop(1.734e08, 0), num_parameters=64_596, num_trained=64_596),
    },
    "seg-cityscapes-any-frozen": {
        "pyramid": ModelCost(
            train=Flop(1.345e09, 0), test=Flop(5.379e09, 0), num_parameters=73_036, num_trained=73_036
        ),
        "plain": ModelCost(train=Flop(5.606e08, 0), test=Flop(2.242e09, 0), num_parameters=58_444, num_trained=58_444),
    },
    "seg-ade20k-any": {
        "pyramid": ModelCost(
            train=Flop(1.376e11, 0), test=Flop(6.084e10, 0), num_parameters=4_987_542, num_trained=4_987_542
        ),
        "plain": ModelCost(
            train=Flop(2.125e11, 0), test=Flop(9.298e10, 0), num_parameters=11_084_182, num_trained=11_084_182
        ),
    },
    "seg-ade20k-any-frozen": {
        "pyramid": ModelCost(
            train=Flop(4.719e09, 0), test=Flop(3.126e09, 0), num_parameters=576_600, num_trained=576_600
        ),
        "plain": ModelCost(
            train=Flop(1.887e09, 0), test=Flop(1.239e09, 0), num_parameters=461_400, num_trained=461_400
        ),
    },
    "seg-voc-linear": {
        "pyramid": ModelCost(
            train=Flop(6.606e07, 0), test=Flop(4.404e07, 0), num_parameters=47_125, num_trained=47_125
        ),
        "plain": ModelCost(train=Flop(9.909e07, 0), test=Flop(6.606e07, 0), num_parameters=17_685, num_trained=17_685),
    },
    "seg-voc-linear4": {
        "pyramid": ModelCost(
            train=Flop(9.909e08, 0), test=Flop(6.606e08, 0), num_parameters=88_341, num_trained=88_341
        ),
        "plain": ModelCost(train=Flop(3.964e08, 0), test=Flop(2.642e08, 0), num_parameters=70_677, num_trained=70_677),
    },
    "seg-cityscapes-linear": {
        "pyramid": ModelCost(
            train=Flop(5.977e07, 0), test=Flop(3.586e08, 0), num_parameters=43_027, num_trained=43_027
        ),
        "plain": ModelCost(train=Flop(8.965e07, 0), test=Flop(5.379e08, 0), num_parameters=16_147, num_trained=16_147),
    },
    "seg-cityscapes-linear4": {
        "pyramid": ModelCost(
            train=Flop(8.965e08, 0), test=Flop(5.379e09, 0), num_parameters=80_659, num_trained=80_659
        ),
        "plain": ModelCost(train=Flop(3.586e08, 0), test=Flop(2.152e09, 0), num_parameters=64_531, num_trained=64_531),
    },
    "seg-ade20k-linear": {
        "pyramid": ModelCost(
            train=Flop(4.719e08, 0), test=Flop(3.146e08, 0), num_parameters=311_446, num_trained=311_446
        ),
        "plain": ModelCost(
            train=Flop(7.078e08, 0), test=Flop(4.719e08, 0), num_parameters=116_886, num_trained=116_886
        ),
    },
    "seg-ade20k-linear4": {
        "pyramid": ModelCost(
            train=Flop(7.078e09, 0), test=Flop(4.719e09, 0), num_parameters=583_830, num_trained=583_830
        ),
        "plain": ModelCost(
            train=Flop(2.831e09, 0), test=Flop(1.887e09, 0), num_parameters=467_094, num_trained=467_094
        ),
    },
    "nyu-depth-linear": {
        "pyramid": ModelCost(
            train=Flop(4.635e08, 3.621e06), test=Flop(6.291e08, 4.915e06), num_parameters=524_544, num_trained=524_544
        ),
        "plain": ModelCost(
            train=Flop(1.39e09, 1.448e07), test=Flop(1.887e09, 1.966e07), num_parameters=393_472, num_trained=393_472
        ),
    },
    "nyu-depth-linear4": {
        "pyramid": ModelCost(
            train=Flop(6.952e09, 1.448e07), test=Flop(9.437e09, 1.966e07), num_parameters=983_296, num_trained=983_296
        ),
        "plain": ModelCost(
            train=Flop(5.562e09, 1.448e07),
            test=Flop(7.55e09, 1.966e07),
            num_parameters=1_573_120,
            num_trained=1_573_120,
        ),
    },
    "demo-seg-linear": {
        "pyramid": ModelCost(
            train=Flop(3.244e07, 0), test=Flop(1.081e07, 0), num_parameters=49_931, num_trained=49_931
        ),
        "plain": ModelCost(train=Flop(1.298e07, 0), test=Flop(4.325e06, 0), num_parameters=39_947, num_trained=39_947),
    },
}

# Of the backbones, as pretrain.model builds them.
NUM_FEATURES = {
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "resnet101": 2048,
    "resnet50w2": 4096,
    "deit_small": 384,
    "vit_base": 768,
}


def without_network(name: str, arch: str, *, is_frozen: bool) -> ModelCost:
    """What a protocol that takes any network costs with this one: operations without it, parameters with it."""
    rest = REST[name]["pyramid" if architecture.get(arch).is_pyramid else "plain"]
    num_parameters = architecture.num_elements(arch)
    return replace(
        rest,
        num_parameters=rest.num_parameters + num_parameters,
        num_trained=rest.num_trained + (0 if is_frozen else num_parameters),
    )
