"""Linear classification on frozen features of the eleven data sets, after SimCLR's and BYOL's appendices on transfer.

    tools/transfer_cls.sh linear11 CKPT        # all eleven
    tools/transfer_cls.sh dtd-linear CKPT

Features of the frozen backbone in eval mode, as they are: no scaling, no augmentation, the 224 pixels in the middle
after the short side was resized to 224 by bicubic interpolation. Multinomial logistic regression by L-BFGS with 45
values of l2, chosen by the data set's main metric on validation images; then train and val are fitted together and the
test images are scored once. VOC2007 has one classifier per class against the rest. The papers do not say whether l2
is added to the sum or to the mean of the losses; here it is the mean.

How trials differ: the optimum is unique and the features are deterministic, so only the validation images that
are held out, where a data set has no official ones, depend on the seed. On aircraft, dtd, flowers102 and voc2007 all
trials of one checkpoint agree and their standard deviation is 0 by construction; elsewhere it is that of the choice of
l2. Random initialisations are drawn anew for each seed.
"""

from transfer.tasks.classification.protocol import LinearProtocol, log_grid

CONFIG = LinearProtocol(
    labels_per_class=None,
    val_fraction=None,  # each data set's: transfer/datasets.py
    choose_by="metric",
    l2_grid=log_grid(-6, 5, 45),  # the 45 values of SimCLR and BYOL, from 1e-6 to 1e5
    tolerance=1e-5,
    max_iter=5000,
    resize=224,
    crop=224,
    batch_size=64,
)
