"""What a teacher adds to the loss of a smaller student: its states and its answers.

The student starts from some of the teacher's layers and from its head, so to come near the teacher's
last states is to come near its answers (DistilBERT, Sanh et al. 2019, and patient distillation, Sun et
al. 2019, for the idea). The labels stay in the loss beside it.
"""

from __future__ import annotations

import importlib
from typing import Any

torch: Any = importlib.import_module("torch")

# What the teacher's answers and its states count beside the labels.
_ANSWERS_WEIGHT, _STATES_WEIGHT = 1.0, 3.0


class Teacher:
    """A trained reader that only answers.

    Args:
        reader: The trained reader; its weights stay as they are.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader.eval().requires_grad_(requires_grad=False)

    def lesson(self, batch: dict[str, Any], states: Any, logits: Any) -> Any:
        """Return how far a student is from the teacher on a batch, a scalar.

        Args:
            batch: The reader's inputs.
            states: The student's last states, (rows, tokens, size).
            logits: The student's logits, (rows, outputs).
        """
        with torch.no_grad():
            known = self._reader.states(**batch)
            answers = self._reader.judge(known, batch["attention_mask"], batch["token_type_ids"])
        apart = torch.nn.functional.binary_cross_entropy_with_logits(
            logits.float(), torch.sigmoid(answers.float()), reduction="none"
        )
        return _ANSWERS_WEIGHT * apart.sum(1).mean() + _STATES_WEIGHT * unlike(
            states.float(), known.float(), batch["attention_mask"]
        )


def unlike(states: Any, known: Any, mask: Any) -> Any:
    """Squared distance of states over the known ones' variance, tokens without padding: 0 if equal."""
    kept = mask.bool()
    return ((states[kept] - known[kept]) ** 2).mean() / known[kept].var()
