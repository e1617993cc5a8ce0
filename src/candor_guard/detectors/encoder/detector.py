"""`EncoderDetector`: the readers of a model folder behind the detector protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder.model import BELIEF, HEADS, Blend, Model, load_model
from candor_guard.detectors.encoder.phrasing import edges, reply_lines, user_lines
from candor_guard.detectors.encoder.relation.features import relate_views
from candor_guard.detectors.encoder.relation.trees import Forest
from candor_guard.detectors.gate import PRESSURE
from candor_guard.detectors.gate.weights import sigmoid
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.detectors.lexical.features import Views, look
from candor_guard.detectors.lexical.views import first_answer
from candor_guard.detectors.lexical.words import is_english
from candor_guard.errors import DetectorError
from candor_guard.verdict import LABELS, NEED_EARLIER, SIGNALS, Reading, Risk, Span

if TYPE_CHECKING:
    from candor_guard.detectors.encoder.transformer.session import EncoderSession

SHIPPED = Path(__file__).parent / "weights"
_GIVING_WAY = (":capitulation", ":concession")
# Nearer to 0 and to 1 a score's log-odds are not told apart.
_NEAREST = 1e-6
_AT_MOST = 3
# A sentence is shown besides the strongest one when it weighs at least half as much.
_SHARE = 0.5


class EncoderDetector:
    """Reads exchanges with a trained model; a `candor_guard.detectors.Detector`.

    Immutable after construction, so one instance serves any number of threads. The gate is the
    lexical detector's, which costs a tenth of a millisecond; what that holds without being certain,
    and a little more, an encoder that was taught to reads once more, with an empty reply.

    The encoder costs ten times as much as all other readers. Where these find next to nothing it
    hardly ever changes a verdict, and is not asked.

    Args:
        folder: A model folder; default: the one that ships with the package.
        encoder: Whether to use the folder's text encoder, if it has one. Without it a reading
            takes a tenth of the time, needs the standard library only, and knows less.

    Raises:
        ConfigurationError: If the folder is incomplete, altered, or made for other code.
    """

    inline = False

    def __init__(self, folder: Path | str | None = None, *, encoder: bool = True) -> None:
        self._constructor_arguments = None if folder is None else str(folder), encoder
        self._model = load_model(SHIPPED if folder is None else Path(folder), encoder=encoder)
        self._session = _session(self._model)
        self._model = _with_numpy_trees(self._model)
        self._gate = LexicalDetector(slack=self._model.slack)
        self._gate_without_slack = LexicalDetector()

    @override
    def __reduce__(
        self,
    ) -> tuple[Callable[[str | None, bool], EncoderDetector], tuple[str | None, bool]]:
        # A session belongs to its process; a copy in another one reads the folder again.
        return _read_again, self._constructor_arguments

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._model.name

    @property
    def version(self) -> str:
        """Version of the model."""
        return self._model.version

    @property
    def operating_points(self) -> Mapping[str, Mapping[str, float]]:
        """Thresholds by name of the operating point, then by label."""
        return self._model.operating_points

    def pre_gate(self, conversation: Conversation) -> Risk | None:
        """Return the linear gate's risk, or None where the encoder has to be asked."""
        risk = self._gate.gate(conversation)
        return None if self._is_for_the_encoder(risk) else risk

    def gate(self, conversation: Conversation) -> Risk:
        """Say from the request alone whether the reply needs reading."""
        risk = self._gate.gate(conversation)
        if self._session is None or not self._is_for_the_encoder(risk):
            return risk
        limits = self._model.gate if conversation.earlier_reply else self._model.first
        if not limits:
            return risk
        found = request_logits(self._session, conversation, risk, self._model.lean)
        # Of what is held for its sake only, the encoder has to be sure itself.
        doubt = 0.0 if self._gate_without_slack.gate(conversation).at_risk else self._model.doubt
        over = max(found[name] - limit for name, limit in limits.items()) - doubt
        at_risk = over >= 0
        return Risk(at_risk, score=sigmoid(over), reason=risk.reason if at_risk else "none")

    def _is_for_the_encoder(self, risk: Risk) -> bool:
        if not risk.at_risk or not self._model.gate or self._session is None:
            return False
        # The linear gate knows pressure well, and takes many a story for a belief.
        return risk.reason != PRESSURE or risk.score < self._model.certain

    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        """Read a batch; one reading per exchange, in order.

        Raises:
            DetectorError: If a score is not a number.
        """
        return [self._read(exchange) for exchange in exchanges]

    def _read(self, exchange: Exchange) -> Reading:
        if not exchange.reply.strip():
            return _zero()
        views = look(exchange)
        if not is_english(views.reply.tokens):
            return _zero(not_evaluated="language")
        scores = self._scores(exchange, views)
        if not views.earlier.sentences:
            scores |= dict.fromkeys(NEED_EARLIER, 0.0)
        return Reading(
            scores={label: scores[label] for label in LABELS},
            signals={name: scores[name] for name in SIGNALS},
            evidence=self._evidence(views, scores),
        )

    def _scores(self, exchange: Exchange, views: Views) -> dict[str, float]:
        model, has_earlier = self._model, bool(views.earlier.sentences)
        logits = reader_logits(model, exchange, views)
        if self._session is None:
            return self._probabilities(model.blends, logits)
        if model.quiet > 0.0:
            scores = self._probabilities(model.plain, logits)
            told = [k for k in LABELS if has_earlier or k not in NEED_EARLIER]
            if all(scores[label] < model.quiet for label in told):
                return scores
        found = heads_of(self._session, exchange)
        logits |= named("encoder", found, has_earlier=has_earlier)
        return self._probabilities(model.blends, logits)

    def _probabilities(
        self, blends: Mapping[str, Blend], logits: Mapping[str, float]
    ) -> dict[str, float]:
        return {head: self._probability(head, blends[head], logits) for head in HEADS}

    def _probability(self, head: str, blend: Blend, logits: Mapping[str, float]) -> float:
        z = blend.bias + sum(weight * logits[name] for name, weight in blend.weights.items())
        if math.isnan(z):
            raise DetectorError(f"{self.name}: the score of {head} is not a number")
        return sigmoid(z)

    def _evidence(self, views: Views, scores: Mapping[str, float]) -> tuple[Span, ...]:
        """The sentences whose phrases speak most for a raised label; none when none is raised."""
        points = self._model.operating_points.values()
        raised = [k for k in LABELS if scores[k] >= min(point[k] for point in points)]
        if not raised:
            return ()
        phrases, heads = self._model.reply, self._model.reply_heads
        spans = [sentence.span for sentence in edges(views.reply.sentences)]
        lines = reply_lines(views, phrases.kept)
        ranked = sorted(
            (
                (max(phrases.strength(line, heads.index(k)) for k in raised), -i)
                for i, line in enumerate(lines)
            ),
            reverse=True,
        )
        best = ranked[0][0]
        picked = [ranked[0], *(row for row in ranked[1:_AT_MOST] if row[0] >= _SHARE * best > 0)]
        return tuple(dict.fromkeys(spans[-row[1]] for row in picked))


@cache
def shipped(*, encoder: bool = True) -> EncoderDetector:
    """Return the detector of the model that ships with the package; the same one every time.

    To load it takes half a second and 70 MB, and a program may have many guards. What is unpickled
    is this one, too: a process pool unpickles its guard with every task.
    """
    return EncoderDetector(encoder=encoder)


def _read_again(folder: str | None, encoder: bool) -> EncoderDetector:  # noqa: FBT001 - by pickle
    return shipped(encoder=encoder) if folder is None else EncoderDetector(folder, encoder=encoder)


def _session(model: Model) -> EncoderSession | None:
    if model.budget is None:
        return None
    # onnxruntime takes start-up time and memory that a model without an encoder does not need.
    from candor_guard.detectors.encoder.transformer.session import EncoderSession  # noqa: PLC0415 - loads onnxruntime

    return EncoderSession(model.folder, model.budget, model.outputs, marked=model.marked)


def _with_numpy_trees(model: Model) -> Model:
    """Let numpy walk the trees where the encoder needs it anyway: a fifth of the time."""
    if model.budget is None or not isinstance(model.forest, Forest):
        return model
    from candor_guard.detectors.encoder.relation.numpy_trees import NumpyForest  # noqa: PLC0415 - loads numpy

    return replace(model, forest=NumpyForest(model.forest))


def request_logits(
    session: EncoderSession, conversation: Conversation, risk: Risk, lean: float
) -> dict[str, float]:
    """Return the encoder's log-odds of each output about a request.

    Without an answer before it the encoder has the request alone, and takes many a plain question
    for a claim that the linear gate takes for none. There the log-odds of a claim are a sum of both.

    Args:
        session: The encoder.
        conversation: Ends with the request.
        risk: The linear gate's.
        lean: How much its log-odds count.
    """
    found = session.logits(Exchange(conversation, ""))
    if lean and not conversation.earlier_reply:
        found[BELIEF] += lean * _log_odds(risk.score)
    return found


def heads_of(session: EncoderSession, exchange: Exchange) -> dict[str, float]:
    """Return the encoder's log-odds of each head."""
    found = session.logits(exchange)
    return {head: found[head] for head in HEADS}


def reader_logits(model: Model, exchange: Exchange, views: Views) -> dict[str, float]:
    """Return the log-odds of the readers that need no encoder, by ``reader:head``.

    After several answers, whether the reply gives way is read twice, against the latest answer and
    against the first, and averaged: a reply that repeats an earlier retreat agrees with the latest.
    """
    logits = _logits(model, exchange, views)
    origin = _against_first(exchange)
    if origin is None:
        return logits
    first = _logits(model, origin, look(origin))
    return {
        name: (value + first[name]) / 2 if name.endswith(_GIVING_WAY) else value
        for name, value in logits.items()
    }


def _against_first(exchange: Exchange) -> Exchange | None:
    """The exchange as if the last user turn had followed the first answer."""
    messages = exchange.conversation.messages
    first = first_answer(exchange.conversation)
    user = next((m for m in reversed(messages) if m.role == "user"), None)
    if first is None or user is None:
        return None
    return Exchange(Conversation((*messages[: first + 1], user)), exchange.reply)


def _logits(model: Model, exchange: Exchange, views: Views) -> dict[str, float]:
    has_earlier = bool(views.earlier.sentences)
    features = relate_views(exchange, views)
    trees = dict(zip(HEADS, model.forest.logits(features), strict=True))
    linear = dict(zip(HEADS, model.linear.logits(features), strict=True))
    reply = model.reply.logits(reply_lines(views, model.reply.kept))
    user = model.user.logits(user_lines(views, model.user.kept))
    phrases = dict(zip(model.reply_heads, reply, strict=True))
    phrases |= dict(zip(model.user_heads, user, strict=True))
    return {
        "earlier": float(has_earlier),
        **named("forest", trees, has_earlier=has_earlier),
        **named("linear", linear, has_earlier=has_earlier),
        **named("phrases", phrases, has_earlier=has_earlier),
    }


def named(reader: str, logits: Mapping[str, float], *, has_earlier: bool) -> dict[str, float]:
    """Name log-odds by reader; what needs an earlier answer is neutral (0) without one."""
    return {
        f"{reader}:{head}": value if has_earlier or head not in NEED_EARLIER else 0.0
        for head, value in logits.items()
    }


def _log_odds(score: float) -> float:
    score = max(_NEAREST, min(1.0 - _NEAREST, score))
    return math.log(score / (1.0 - score))


def _zero(*, not_evaluated: str | None = None) -> Reading:
    return Reading(
        scores=dict.fromkeys(LABELS, 0.0),
        signals=dict.fromkeys(SIGNALS, 0.0),
        not_evaluated=not_evaluated,
    )
