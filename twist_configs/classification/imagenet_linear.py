"""Linear classification on ImageNet, or on your own images: SGD heads on the frozen backbone.

    tools/transfer_cls.sh imagenet-linear CKPT
    tools/transfer_cls.sh folder-linear CKPT --data DIR

The official head of each architecture is the official code's (``evaluate.py``, ``evaluate_vitlinear.py``): 100 epochs,
batch 1024 (for ViTs eight processes of 128 images, with learning rates per 256 images), no weight decay, a cosine
stepped once per epoch, random crops and flips (bilinear for ResNets, bicubic for ViTs), the backbone in eval mode, all
in fp32. It sees all training images; its figures are top1, top5. ViTs have the last four class tokens, 3,072 numbers
for ViT-B: the README's commands pass neither ``--n_last_blocks`` nor ``--avgpool_patchtokens``, and the defaults are 4
and False. What DINO's eval_linear.py advises for ViT-B, the class token and the mean patch of the last block, is among
the candidates, and the official head with the override ``"vit_base.feature=class token + mean patch"``, which is off
protocol.

Beside it, from the same passes of the backbone, one head for each feature of the backbone, learning rate and weight
decay. They are trained without 1 % of the images of each class (13 of 1,300), on which the one that is right most often
is chosen; its figures are top1_chosen and top5_chosen. It is not trained again: the missing 1 % is little, and the
same for all. What the best head on the test images would have given is recorded as an inflated reference.

The official code prints the best epoch on the validation images; the figures here are the last epoch's.

Published, TWIST with multi-crop: ResNet-50 75.5 / 92.5, ResNet-50w2 77.7 / 93.9, DeiT-S 76.3 / 92.7, ViT-B 78.4 / 93.8.
"""

from transfer.tasks.classification.protocol import HeadSetting, HeadsProtocol, Views

BATCH_SIZE = 1024

CONFIG = HeadsProtocol(
    resnet=HeadSetting(feature="pooled", lr=0.2, weight_decay=0.0),
    deit_small=HeadSetting(feature="last 4 class tokens", lr=0.02 * BATCH_SIZE / 256, weight_decay=0.0),
    vit_base=HeadSetting(feature="last 4 class tokens", lr=0.0015 * BATCH_SIZE / 256, weight_decay=0.0),
    lrs=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0),
    weight_decays=(0.0, 1e-6, 1e-5),
    val_fraction=0.01,
    epochs=100,
    batch_size=BATCH_SIZE,
    momentum=0.9,
    head_std=0.01,
    views=Views(augment="crop and flip", size=224, resize=256),
    test_batch_size=256,
)
