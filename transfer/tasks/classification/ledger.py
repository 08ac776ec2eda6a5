"""The test-set ledger: test images are sealed until the final scoring, opened once, and the opening is recorded.

What is chosen by looking at the test set is no longer measured by it. So a task gets no test images but through a
:class:`SealedTest`, which reads neither an image, a label nor a list before it is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from transfer.tasks.classification.labelled import LabelledImages

FINAL_SCORING = "final scoring"
OPENED = "transfer.test_opened"


@dataclass
class SealedTest:
    """The test images of a data set.

    Attributes:
        split: what the data set calls them, e.g. ``"test"`` or ``"val"``.
        load: lists the images; called when the seal is broken and not before.
        scorings: the ledger, as it goes into the record.
    """

    split: str
    load: Callable[[], LabelledImages]
    scorings: list[dict[str, Any]] = field(default_factory=list)

    def open(self, purpose: str = FINAL_SCORING) -> LabelledImages:
        """The test images, once; raises the interpreter's audit event :data:`OPENED` first, with split and purpose.

        Raises:
            RuntimeError: they were opened before in this trial.
        """
        if self.scorings:
            raise RuntimeError(f"the {self.split} images were opened before, for {self.scorings[0]['purpose']}")
        sys.audit(OPENED, self.split, purpose)
        images = self.load()
        self.scorings.append({"split": self.split, "num_images": len(images), "purpose": purpose})
        return images
