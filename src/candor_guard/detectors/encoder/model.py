"""A model folder: manifest, readers, and perhaps an encoder; read once and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from candor_guard.detectors.encoder.phrasing import Phrases
from candor_guard.detectors.encoder.relation.features import NAMES
from candor_guard.detectors.encoder.relation.linear import Linear
from candor_guard.detectors.encoder.relation.trees import Forest, Trees
from candor_guard.detectors.encoder.transformer.render import Budget
from candor_guard.detectors.gate import PRESSURE
from candor_guard.errors import ConfigurationError
from candor_guard.verdict import LABELS, SIGNALS

FORMAT = 2
MANIFEST = "manifest.json"
READERS = "readers.json"
ENCODER = "encoder.onnx"
TOKENIZER = "tokenizer.json"
HEADS = (*SIGNALS, *LABELS)
# What an encoder tells besides the heads: whether a request states a claim; for the gate.
BELIEF = "belief"
OUTPUTS = (*HEADS, BELIEF)
# The gate's limit for a claim that no answer came before.
BELIEF_FIRST = "belief_first"


@dataclass(frozen=True, slots=True)
class Blend:
    """How one head weighs the readers: logistic regression over their log-odds."""

    bias: float
    weights: Mapping[str, float]


# Values of the keys that a manifest may leave out: nothing more is held, and nothing left out.
_DEFAULTS: Mapping[str, float] = {
    "slack": 0.0,
    "doubt": 0.0,
    "certain": 1.0,
    "quiet": 0.0,
    "lean": 0.0,
}


@dataclass(frozen=True, slots=True)
class Model:
    """Everything in a model folder except the running encoder.

    Attributes:
        folder: Where it lies.
        name: Of the model.
        version: Of the model.
        forest: Trees by head.
        linear: Logistic regressions by head.
        reply: Phrases of the reply.
        reply_heads: Heads of ``reply``, in order.
        user: Phrases of the user's turn.
        user_heads: Heads of ``user``, in order.
        blends: By head.
        operating_points: Thresholds by name, then by label.
        budget: Of the encoder's input; None when the folder holds no encoder.
        marked: Whether the encoder reads the token types of `marks`.
        outputs: What its columns are.
        gate: Log-odds by output, from which the encoder leaves a request held; empty when it was
            not taught to read requests.
        first: The same where no answer came before.
        lean: How much the linear gate's log-odds count there beside the encoder's about a claim.
        slack: How much more than usual the linear gate holds, for the encoder to sift.
        doubt: By how much the encoder has to be over ``gate`` to hold what the linear gate would
            have let go; both in log-odds.
        certain: Risk from which on what the linear gate holds for its pressure is held without asking
            the encoder.
        quiet: Score up to which the encoder is not asked about a reply: where the other readers
            give every label less, by blends of their own.
        plain: These blends, by head.
    """

    folder: Path
    name: str
    version: str
    forest: Trees
    linear: Linear
    reply: Phrases
    reply_heads: tuple[str, ...]
    user: Phrases
    user_heads: tuple[str, ...]
    blends: Mapping[str, Blend]
    operating_points: Mapping[str, Mapping[str, float]]
    budget: Budget | None
    marked: bool = False
    outputs: tuple[str, ...] = HEADS
    gate: Mapping[str, float] = field(default_factory=dict)
    first: Mapping[str, float] = field(default_factory=dict)
    lean: float = 0.0
    slack: float = 0.0
    doubt: float = 0.0
    certain: float = 1.0
    quiet: float = 0.0
    plain: Mapping[str, Blend] = field(default_factory=dict)


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_model(folder: Path, *, encoder: bool = True) -> Model:
    """Read a model folder.

    Args:
        folder: Where it lies.
        encoder: Whether to use the encoder, where there is one. Without it the readers have
            weights and thresholds of their own.

    Raises:
        ConfigurationError: If a file is missing, altered, or made for other code than this.
    """
    try:
        return _loaded(folder, encoder=encoder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{folder}: not a model that can be read ({told})") from error


def _loaded(folder: Path, *, encoder: bool) -> Model:
    manifest = _json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise ConfigurationError(
            f"{folder}: model format {manifest.get('format')!r} is not {FORMAT}"
        )
    blended = manifest
    if not encoder and manifest.get("encoder") is not None:
        blended = manifest.get("without_encoder") or _refuse(folder)
        manifest = {**manifest, "encoder": None}
    for name, expected in manifest["files"].items():
        if name in (ENCODER, TOKENIZER) and manifest.get("encoder") is None:
            continue
        if digest(_present(folder / name)) != expected:
            raise ConfigurationError(f"{folder / name} is not the file that the manifest names")
    readers = _json(folder / READERS)
    if tuple(readers["features"]) != NAMES:
        raise ConfigurationError(f"{folder}: fitted for other features; rebuild the model")
    reader = manifest.get("encoder")
    return Model(
        folder=folder,
        name=str(blended["name"]),
        version=str(manifest["version"]),
        forest=Forest.from_dict(readers["forest"]),
        linear=Linear.from_dict(readers["linear"]),
        reply=Phrases.from_dict(readers["reply"]),
        reply_heads=tuple(readers["reply_heads"]),
        user=Phrases.from_dict(readers["user"]),
        user_heads=tuple(readers["user_heads"]),
        blends=_blends(blended),
        operating_points={k: dict(v) for k, v in blended["operating_points"].items()},
        budget=None if reader is None else Budget(**reader["budget"]),
        plain=_plain(folder, manifest),
        **({} if reader is None else _reading(folder, reader)),
    )


def _plain(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Blend]:
    blends = _blends(manifest.get("without_encoder") or {})
    if (manifest.get("encoder") or {}).get("quiet") and set(HEADS) - blends.keys():
        raise ConfigurationError(
            f"{folder}: 'quiet' needs 'without_encoder', with blends for all heads"
        )
    return blends


def _blends(judging: Mapping[str, Any]) -> dict[str, Blend]:
    rows = judging.get("blends", {}).items()
    return {head: Blend(float(row["bias"]), dict(row["weights"])) for head, row in rows}


def _reading(folder: Path, reader: Mapping[str, Any]) -> dict[str, Any]:
    outputs, gate = tuple(reader.get("outputs", HEADS)), dict(reader.get("gate") or {})
    # Where nothing was answered there is nothing to press.
    first = {name: limit for name, limit in gate.items() if name != PRESSURE}
    if BELIEF_FIRST in gate:
        del gate[BELIEF_FIRST]
        first[BELIEF] = first.pop(BELIEF_FIRST)
    elif reader.get("lean"):
        raise ConfigurationError(f"{folder}: 'lean' needs the limit {BELIEF_FIRST!r}")
    if missing := {*HEADS, *gate, *first} - set(outputs):
        raise ConfigurationError(f"{folder}: the encoder has no output for {sorted(missing)}")
    return {
        "marked": bool(reader.get("marked", False)),
        "outputs": outputs,
        "gate": gate,
        "first": first,
        **{name: _number(folder, reader, name) for name in _DEFAULTS},
    }


def _number(folder: Path, reader: Mapping[str, Any], name: str) -> float:
    value = reader.get(name, _DEFAULTS[name])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{folder}: {name!r} is {value!r}, not a number")
    return float(value)


def _refuse(folder: Path) -> NoReturn:
    raise ConfigurationError(f"{folder}: this model cannot do without its encoder")


def _present(path: Path) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"no such model file: {path}")
    return path


def _json(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(_present(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from error
    return data
