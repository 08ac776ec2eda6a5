"""Fine-tuning on the eleven data sets, after SimCLR (appendix B.8) and BYOL (appendix D): 57 trainings of 20,000 steps.

    tools/transfer_cls.sh dtd CKPT --mode finetune
    tools/transfer_cls.sh finetune11 CKPT                  # all eleven
    tools/transfer_cls.sh finetune11 CKPT --grid cheap     # finetune11_cheap.py: benchmarks of their own

SGD with Nesterov momentum 0.9 at batch 256 and a cosine without warm-up, one learning rate for backbone and head; 7
learning rates from 0.0001 to 0.1 and 8 weight decays: none, and 7 from 1e-6 to 1e-3, which are divided by the learning
rate. Each point is trained on train and scored on val by the data set's main metric; the best is trained again on train
and val and scored once on test. Random crops and flips in training, the middle 224 pixels of a short side of 256 in
scoring, both by bicubic interpolation (SimCLR's crop_and_resize,
https://github.com/google-research/simclr/blob/master/data_util.py), all in fp32. Batch norm's running statistics keep
max(1 - 10 / steps per epoch, 0.9) of themselves in each step. VOC2007 has binary cross-entropies, averaged over the
classes that are not marked difficult. What the papers leave open: the head starts from N(0, 0.01); norms and biases
have no weight decay.

A trial has one GPU, and the grid's points are spread over more if it is given more (--gpus-per-trial). Each finished
point is kept in the trial's work folder: a killed trial resumes with the next one.
"""

from transfer.tasks.classification.protocol import GridProtocol, Views

CONFIG = GridProtocol(
    lrs=tuple(10 ** (-4 + step / 2) for step in range(7)),
    weight_decays=(0.0, *(10 ** (-6 + step / 2) for step in range(7))),
    val_fraction=None,
    grid_steps=20_000,
    steps=20_000,
    batch_size=256,
    momentum=0.9,
    head_std=0.01,
    views=Views(augment="crop and flip", size=224, resize=256, interpolation="bicubic"),
    test_batch_size=256,
)
