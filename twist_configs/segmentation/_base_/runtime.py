# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""SGD with polynomial decay, and how MMEngine runs: the same for every segmentation protocol."""

default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
log_processor = dict(by_epoch=False)
log_level = "INFO"

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005),
)
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=20000, by_epoch=False)]

train_cfg = dict(type="IterBasedTrainLoop", max_iters=20000)
# The last iteration is what counts: nothing is chosen on the test images, so they are looked at once.
test_cfg = dict(type="TestLoop")
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"], ignore_index=255)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # Two are kept: MMEngine deletes before it writes, and a killed write must leave one to go on from.
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=1000, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
