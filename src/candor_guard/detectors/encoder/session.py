"""The encoder in onnxruntime: one session, one thread, one row at a time."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from candor_guard.conversation import Exchange
from candor_guard.detectors.encoder.model import ENCODER, TOKENIZER
from candor_guard.detectors.encoder.render import Budget, parts_of, render
from candor_guard.errors import ConfigurationError

_NEEDED = ("numpy", "onnxruntime", "tokenizers")


class EncoderSession:
    """A loaded encoder. Thread-safe: onnxruntime and tokenizers are.

    Args:
        folder: Where the encoder and its tokenizer lie.
        budget: Token budget of its input.
        outputs: What its columns are.
        marked: Whether it reads the token types of `marks`.

    Raises:
        ConfigurationError: If a package or file is missing.
    """

    def __init__(
        self, folder: Path, budget: Budget, outputs: Sequence[str], *, marked: bool
    ) -> None:
        numpy, runtime, tokenizers = _modules()
        self._numpy = numpy
        self._budget = budget
        self._marked = marked
        self._outputs = tuple(outputs)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = runtime.SessionOptions()
        # Two threads gain only on an idle machine, and cost everybody else there.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(
            str(folder / ENCODER), options, providers=["CPUExecutionProvider"]
        )

    def logits(self, exchange: Exchange) -> dict[str, float]:
        """Return the log-odds of each output."""
        row = render(parts_of(exchange), self._tokenizer, self._budget, marked=self._marked)
        array = self._numpy.array
        inputs = {
            "input_ids": array([row.ids], dtype="int64"),
            "attention_mask": array([[1] * len(row.ids)], dtype="int64"),
            "token_type_ids": array([row.types], dtype="int64"),
        }
        (values,) = self._session.run(None, inputs)
        return dict(zip(self._outputs, map(float, values[0]), strict=True))


def _modules() -> list[Any]:
    try:
        return [importlib.import_module(name) for name in _NEEDED]
    except ImportError as error:
        raise ConfigurationError(
            f"this model needs {', '.join(_NEEDED)}; missing: {error.name}"
        ) from error
