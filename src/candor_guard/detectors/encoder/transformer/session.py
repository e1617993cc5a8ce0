"""The encoder in onnxruntime: one session, one thread, one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from candor_guard.conversation import Exchange
from candor_guard.detectors.encoder.model import ENCODER, TOKENIZER
from candor_guard.detectors.encoder.transformer.render import Budget, parts_of, render
from candor_guard.errors import ConfigurationError

# In onnxruntime 1.32 a sum and its norm in one operator take five times as long as one after the
# other, and round otherwise than the graph as it was exported.
_SLOWER = ("SkipLayerNormFusion",)


class EncoderSession:
    """A loaded encoder. Thread-safe: onnxruntime and tokenizers are.

    Args:
        folder: Where the encoder and its tokenizer lie.
        budget: Token budget of its input.
        outputs: What its columns are.
        marked: Whether it reads the token types of `marks`.

    Raises:
        ConfigurationError: If onnxruntime or tokenizers cannot read the files.
    """

    def __init__(
        self, folder: Path, budget: Budget, outputs: Sequence[str], *, marked: bool
    ) -> None:
        self._budget = budget
        self._marked = marked
        self._outputs = tuple(outputs)
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            self._session = onnxruntime.InferenceSession(
                str(folder / ENCODER),
                _options(),
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_SLOWER,
            )
        except Exception as error:  # both raise plain exceptions of their own making
            raise ConfigurationError(f"{folder}: the encoder cannot be loaded: {error}") from error
        # Every row stands alone, without padding, so a graph may do without the mask.
        self._masked = any(i.name == "attention_mask" for i in self._session.get_inputs())
        width = self._session.get_outputs()[0].shape[-1]
        if width != len(self._outputs):
            raise ConfigurationError(
                f"{folder}: the encoder has {width} outputs, its manifest names {len(self._outputs)}"
            )
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def logits(self, exchange: Exchange) -> dict[str, float]:
        """Return the log-odds of each output."""
        row = render(parts_of(exchange), self._tokenizer, self._budget, marked=self._marked)
        inputs = {
            "input_ids": np.array([row.ids], dtype=np.int64),
            "token_type_ids": np.array([row.types], dtype=np.int64),
        }
        if self._masked:
            inputs["attention_mask"] = np.ones((1, len(row.ids)), dtype=np.int64)
        (values,) = self._session.run(None, inputs)
        return dict(zip(self._outputs, map(float, values[0]), strict=True))


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Two threads gain only on an idle machine, and cost everybody else there.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A plan of memory by shape pays where shapes come again; lengths seldom do, and it takes 7 MB.
    options.enable_mem_pattern = False
    return options
