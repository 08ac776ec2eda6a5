"""Fine-tuning of the whole network with few labelled images."""

from __future__ import annotations

from transfer.classification.protocol import FinetuneProtocol, resolved
from transfer.record import Metric
from transfer.trial import Outcome, Trial

LABEL_STREAM = 0  # every initialisation with the same seed gets the same labelled images


def run(trial: Trial, protocol: FinetuneProtocol, difference: list[str]) -> Outcome:
    """Trains on labelled images drawn by the seed, then one look at the test images.

    Raises:
        UserError: a bad checkpoint or data folder.
    """
    import numpy as np
    import torch

    from transfer.classification import images
    from transfer.classification.features import extract
    from transfer.classification.finetune import finetune
    from transfer.classification.linear import topk_accuracy
    from transfer.convert.prepare import torch_backbone

    module, backbone = torch_backbone(trial)
    torch.manual_seed(trial.seed)
    train = images.open_split(trial.data, "train")
    train_labels = images.labels_of(train)
    rows = images.few_labels(train_labels, protocol.labels_per_class, np.random.default_rng([trial.seed, LABEL_STREAM]))
    model = finetune(
        module,
        images.read_images(train, rows, backbone.preprocessing),
        protocol,
        seed=trial.seed,
        device=trial.device,
        done=lambda step, num_steps: trial.progress(step, num_steps, "fine-tuning"),
    )
    test = images.read_all(images.open_split(trial.data, "val"), backbone.preprocessing)
    scores = extract(model, test.images, batch_size=protocol.test_batch_size, device=trial.device)
    return Outcome(
        metrics={f"top{k}": Metric(value=100 * topk_accuracy(scores, test.labels, k)) for k in (1, 5)},
        references={"majority class": {"top1": 100 * images.majority_top1(train_labels, test.labels)}},
        resolved_config=resolved(trial.benchmark, protocol),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )
