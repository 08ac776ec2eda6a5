"""What keeps results right, and how each of it is broken: the table of :mod:`tests.faults.mutations`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One change to one file that takes a safeguard away, and the tests that hold it."""

    safeguard: str
    file: str
    before: str
    after: str
    tests: str


MUTATIONS = (
    Mutation(
        "atomic write: under a temporary name",
        "twist_common/files.py",
        "temporary = path.with_name(temporary_name(path.stem, path.suffix))",
        "temporary = path",
        "tests/unit/test_edges.py tests/unit/test_common.py",
    ),
    Mutation(
        "atomic write: what failed is removed",
        "twist_common/files.py",
        "        temporary.unlink(missing_ok=True)\n\n\n@contextlib",
        "        pass\n\n\n@contextlib",
        "tests/unit/test_edges.py tests/unit/test_common.py",
    ),
    Mutation(
        "atomic write: leftovers of the dead alone are cleared",
        "twist_common/files.py",
        "        return process_start(int(own[1])) is None",
        "        return True",
        "tests/unit/test_edges.py",
    ),
    Mutation(
        "atomic write: of a report, all files or none",
        "transfer/commands/report.py",
        "replacements.enter_context(atomic_path(path)).write_bytes(files[path])",
        "path.parent.mkdir(parents=True, exist_ok=True) or path.write_bytes(files[path])",
        "tests/unit/test_edges.py",
    ),
    Mutation(
        "checkpoint beside the work: from a copy",
        "transfer/tasks/classification/training.py",
        'host_copy({**state(), "step": step})',
        '{**state(), "step": step}',
        "tests/unit/test_classification_training.py",
    ),
    Mutation(
        "checkpoint beside the work: its error ends the work",
        "twist_common/background.py",
        "        with self._thread:\n            self.wait()",
        "        self._thread.shutdown()",
        "tests/unit/test_background.py",
    ),
    Mutation(
        "checkpoint beside the work: MMEngine's whole or not at all",
        "transfer/tasks/segmentation/hooks.py",
        "    with atomic_path(path) as temporary:\n        temporary.write_bytes(content)",
        "    path.write_bytes(content)",
        "tests/integration/test_segmentation_trial.py -k full_disk",
    ),
    Mutation(
        "weights-only reading: pre-training's checkpoints",
        "pretrain/run/checkpoint.py",
        "weights_only=True",
        "weights_only=False",
        "tests/unit/test_safeguards.py",
    ),
    Mutation(
        "weights-only reading: a trial's own state",
        "transfer/tasks/detection/trainer.py",
        "weights_only=True",
        "weights_only=False",
        "tests/unit/test_safeguards.py",
    ),
    Mutation(
        "weights-only reading: foreign checkpoints",
        "transfer/weights/backbone/unpickle.py",
        "        return dtype_of(full) or Name(full)",
        "        return dtype_of(full) or super().find_class(module, name)",
        "tests/integration/test_convert_hostile.py",
    ),
    Mutation(
        "claim: one owner",
        "transfer/trials/claim.py",
        "        path.hardlink_to(candidate)\n",
        "        candidate.replace(path)\n",
        "tests/unit/test_claim.py",
    ),
    Mutation(
        "claim guard: taken before a dead owner's claim is replaced",
        "transfer/trials/claim.py",
        "    guard = take(path.with_name(path.name + GUARD))\n    if guard is None:\n        return False\n",
        "    guard = Claim(path.with_name(path.name + GUARD), _myself())\n",
        "tests/unit/test_safeguards.py",
    ),
    Mutation(
        "claim guard: the owner is looked at again under it",
        "transfer/trials/claim.py",
        "        if live_owner(path) is not None:\n            return False\n        candidate",
        "        candidate",
        "tests/unit/test_safeguards.py",
    ),
    Mutation(
        "seal of a record",
        "transfer/report/read/trials.py",
        "if record.stated_seal and not record.seal_holds:",
        "if False:",
        "tests/unit/test_report_verify.py",
    ),
    Mutation(
        "strict loading: missing tensors",
        "transfer/weights/backbone/checked.py",
        "if missing := sorted(shapes.keys() - state.keys()):",
        "if (missing := sorted(shapes.keys() - state.keys())) and False:",
        "tests/unit/test_backbone_checks.py",
    ),
    Mutation(
        "strict loading: tensors too many",
        "transfer/weights/backbone/checked.py",
        "if extra := sorted(state.keys() - shapes.keys()):",
        "if (extra := sorted(state.keys() - shapes.keys())) and False:",
        "tests/unit/test_backbone_checks.py",
    ),
    Mutation(
        "strict loading: the network of a trial",
        "transfer/weights/backbone/network.py",
        "network.load_state_dict(backbone.state_dict, strict=True)",
        "network.load_state_dict(backbone.state_dict, strict=False)",
        "tests/unit/test_safeguards.py",
    ),
    Mutation(
        "finite check: the loss",
        "pretrain/run/step.py",
        "if not math.isfinite(value := loss.total.item()):",
        "if (value := loss.total.item()) is None:",
        "tests/integration/test_pretrain_resume.py -k finite",
    ),
    Mutation(
        "finite check: the figures of a record",
        "transfer/record.py",
        "        for name, value in self.unfit().items():",
        "        for name, value in ():",
        "tests/unit/test_record.py",
    ),
    Mutation(
        "finite check: a trial whose figure is NaN has failed",
        "transfer/trials/run_one.py",
        "    if not error and (broken := found.unfit()):",
        "    if False and (broken := found.unfit()):",
        "tests/integration/test_trials.py -k failed_trial_is_marked",
    ),
    Mutation(
        "sealed test set: opened once",
        "transfer/tasks/classification/datasets/labelled.py",
        "        if self.scorings:\n",
        "        if False:\n",
        "tests/unit/test_ledger.py",
    ),
    Mutation(
        "sealed test set: the opening is recorded",
        "transfer/tasks/classification/datasets/labelled.py",
        "        self.scorings.append(",
        "        print(",
        "tests/unit/test_ledger.py",
    ),
    Mutation(
        "order on resume: from the step that is due",
        "pretrain/data/order.py",
        "first_epoch, first_step = divmod(self._step, self.steps_per_epoch)",
        "first_epoch, first_step = self._step // self.steps_per_epoch, 0",
        "tests/unit/test_pretrain_data.py",
    ),
    Mutation(
        "order on resume: a kept checkpoint comes first",
        "pretrain/run/checkpoint.py",
        "    save(kept, content)\n    with atomic_path(out / CHECKPOINT_NAME) as temporary:\n"
        "        link_or_copy(kept, temporary)\n",
        "    save(out / CHECKPOINT_NAME, content)\n    with atomic_path(kept) as temporary:\n"
        "        link_or_copy(out / CHECKPOINT_NAME, temporary)\n",
        "tests/unit/test_edges.py",
    ),
    Mutation(
        "protocol lock: other settings",
        "transfer/protocol_lock.py",
        'return Verdict(standing="off protocol", difference=list(difference))',
        'return Verdict(standing="on protocol", difference=list(difference))',
        "tests/unit/test_protocol_lock.py",
    ),
    Mutation(
        "protocol lock: a rate that does not fit the batch",
        "transfer/protocol_lock.py",
        "        if same_rate and replace(",
        "        if replace(",
        "tests/unit/test_protocol_lock.py",
    ),
    Mutation(
        "proof tolerance",
        "transfer/weights/convert/proof.py",
        "if not difference <= tolerance:",
        "if difference > 1e6 * tolerance:",
        "tests/integration/test_convert_proof_holds.py",
    ),
    Mutation(
        "proof tolerance: NaN",
        "transfer/weights/convert/proof.py",
        "if not difference <= tolerance:",
        "if difference > tolerance:",
        "tests/unit/test_safeguards.py",
    ),
    Mutation(
        "HTML escaping: the page",
        "transfer/report/write/html.py",
        "autoescape=True",
        "autoescape=False",
        "tests/unit/test_injection.py tests/unit/test_report_writers.py",
    ),
    Mutation(
        "HTML escaping: plots",
        "transfer/report/draw/plot.py",
        "{escape(alt)}</title>",
        "{alt}</title>",
        "tests/unit/test_injection.py tests/unit/test_report_writers.py",
    ),
    Mutation(
        "HTML escaping: Markdown",
        "transfer/report/write/markdown.py",
        '.replace("<", "&lt;")',
        "",
        "tests/unit/test_injection.py",
    ),
    Mutation(
        "formulas in CSV",
        "transfer/report/write/data.py",
        """return f"'{cell}\"""",
        'return f"{cell}"',
        "tests/unit/test_injection.py",
    ),
    Mutation(
        "codes that steer a terminal",
        "twist_common/printable.py",
        'return STEERING.sub("\\ufffd", text)',
        "return text",
        "tests/unit/test_injection.py",
    ),
    Mutation(
        "archive paths: none leads out",
        "transfer/report/read/archive.py",
        'if PurePosixPath(entry.name).is_absolute() or ".." in PurePosixPath(entry.name).parts:',
        "if False:",
        "tests/unit/test_report_archive.py",
    ),
    Mutation(
        "archive paths: plain files alone",
        "transfer/report/read/archive.py",
        "if not entry.isreg() or entry.issparse():",
        "if entry.issparse():",
        "tests/unit/test_report_archive.py",
    ),
    Mutation(
        "archive: no bomb",
        "transfer/report/read/archive.py",
        "        if self.left < 0:",
        "        if False:",
        "tests/unit/test_report_archive.py",
    ),
)
