"""A classification trial: few labels drawn by the seed, training, one look at the held-out images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.classification.protocol import FinetuneProtocol, LinearProtocol, load_protocol, resolved
from transfer.record import Metric
from transfer.trial import Outcome, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pretrain.model import Backbone as BackboneModule
    from transfer.classification.images import LabelledImages

LABEL_STREAM = 0  # every initialisation with the same seed gets the same labelled images


def run(trial: Trial) -> Outcome:
    """Linear classification or fine-tuning, as the benchmark's protocol says.

    Raises:
        UserError: a bad checkpoint, override or data folder.
    """
    import numpy as np
    import torch

    from transfer.classification import images
    from transfer.classification.linear import topk_accuracy
    from transfer.convert.prepare import torch_backbone

    protocol, difference = resolve_config(trial)
    module, backbone = torch_backbone(trial)
    torch.manual_seed(trial.seed)
    train = images.open_split(trial.data, "train")
    train_labels = images.labels_of(train)
    rows = images.few_labels(train_labels, protocol.labels_per_class, np.random.default_rng([trial.seed, LABEL_STREAM]))
    labelled = images.read_images(train, rows, backbone.preprocessing)
    test = images.read_all(images.open_split(trial.data, "val"), backbone.preprocessing)

    if isinstance(protocol, LinearProtocol):
        scores = _linear_scores(trial, protocol, module, labelled, test)
    else:
        scores = _finetuned_scores(trial, protocol, module, labelled, test)
    metrics = {f"top{k}": Metric(value=100 * topk_accuracy(scores, test.labels, k)) for k in (1, 5)}
    return Outcome(
        metrics=metrics,
        references={"majority class": {"top1": 100 * images.majority_top1(train_labels, test.labels)}},
        resolved_config=resolved(trial.benchmark, protocol),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )


def resolve_config(trial: Trial) -> tuple[LinearProtocol | FinetuneProtocol, list[str]]:
    """The protocol with the trial's overrides, and what they change."""
    return load_protocol(trial.benchmark, trial.overrides)


def _linear_scores(
    trial: Trial, protocol: LinearProtocol, module: BackboneModule, labelled: LabelledImages, test: LabelledImages
) -> NDArray[np.floating]:
    from transfer.classification.features import extract
    from transfer.classification.linear import fit_linear

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
    return fit.classifier.decision_function(test_features.astype("float64"))


def _finetuned_scores(
    trial: Trial, protocol: FinetuneProtocol, module: BackboneModule, labelled: LabelledImages, test: LabelledImages
) -> NDArray[np.floating]:
    from transfer.classification.features import extract
    from transfer.classification.finetune import finetune

    model = finetune(
        module,
        labelled,
        protocol,
        seed=trial.seed,
        device=trial.device,
        done=lambda step, num_steps: trial.progress(step, num_steps, "fine-tuning"),
    )
    return extract(model, test.images, batch_size=protocol.test_batch_size, device=trial.device)
