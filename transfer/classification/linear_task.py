"""Linear classification on frozen features of few labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.classification.protocol import LinearProtocol, resolved
from transfer.record import Metric
from transfer.trial import Outcome, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from transfer.classification.images import LabelledImages

LABEL_STREAM = 0  # every initialisation with the same seed gets the same labelled images


def run(trial: Trial, protocol: LinearProtocol, difference: list[str]) -> Outcome:
    """Features, logistic regression with its l2 chosen on held-out labelled images, one look at the test images.

    Raises:
        UserError: a bad checkpoint or data folder.
    """
    import numpy as np
    import torch

    from transfer.classification import images
    from transfer.classification.features import extract
    from transfer.classification.linear import fit_linear, topk_accuracy
    from transfer.convert.prepare import torch_backbone

    module, backbone = torch_backbone(trial)
    torch.manual_seed(trial.seed)
    train = images.open_split(trial.data, "train")
    train_labels = images.labels_of(train)
    rows = images.few_labels(train_labels, protocol.labels_per_class, np.random.default_rng([trial.seed, LABEL_STREAM]))
    labelled = images.read_images(train, rows, backbone.preprocessing)
    test = images.read_all(images.open_split(trial.data, "val"), backbone.preprocessing)
    num_images, num_candidates = len(labelled) + len(test), len(protocol.l2_grid)

    def features(images: LabelledImages, done_before: int) -> NDArray[np.float32]:
        return extract(
            module,
            images.images,
            batch_size=protocol.batch_size,
            device=trial.device,
            done=lambda rows: trial.progress(done_before + rows, num_images, "features"),
        )

    train_features, test_features = features(labelled, 0), features(test, len(labelled))
    fit = fit_linear(
        train_features,
        labelled.labels,
        protocol,
        seed=trial.seed,
        done=lambda tried: trial.progress(tried, num_candidates, "choosing l2"),
    )
    scores = fit.classifier.decision_function(test_features.astype("float64"))
    return Outcome(
        metrics={f"top{k}": Metric(value=100 * topk_accuracy(scores, test.labels, k)) for k in (1, 5)},
        references={"majority class": {"top1": 100 * images.majority_top1(train_labels, test.labels)}},
        resolved_config=resolved(trial.benchmark, protocol),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )
