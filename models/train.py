"""Train the encoder: ``python -m models.train --out FOLDER [--leave-out NAME ...]``.

The schedule is a time budget: rates rise, then fall to nothing when it ends, so a run fits its
machine. The first part teaches to compare two texts, the rest the heads. Writes ``reader.pt`` and
``scores.npz`` (logits of the valid rows and of the rows left out).
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from candor_guard.conversation import Exchange
from candor_guard.detectors.encoder import marks
from candor_guard.detectors.encoder.model import BELIEF
from candor_guard.detectors.encoder.render import Budget, Row, parts_of, render
from models.augment import comparison_pairs, openers_of, vary
from models.dataset import AUTHORED, HEADS, LEFT_OUT, SHARED, Sample, load, of_split
from models.gate.rows import Turn, followups, own_turns, shared_turns
from models.network import (
    BASE,
    COMPARISON,
    EXPORTED,
    OUTPUTS,
    RECORD,
    WEIGHTS,
    base_of,
    batch_of,
    keep_layers,
    load_reader,
    new_reader,
    optimiser,
    tokenizer_of,
)

torch: Any = importlib.import_module("torch")
numpy: Any = importlib.import_module("numpy")

BATCH = 32
_CHUNK = 24
_GATE_SHARE, _GATE_WEIGHT = 0.2, 1.5
_MASK = 103
_MASKED_ROWS, _MASKED_WORDS = 0.35, 0.5
_UNMARKED = (marks.PLAIN, marks.REPLY)
_WARM_UP = 0.06
_CLIP = 1.0
# Verdicts and the readings they hang on count more than the side readings.
HEAD_WEIGHTS = {"warmth": 0.3, "pressure": 0.6, "evidence": 0.8}
# Rows that carry a rare label are drawn more often.
_RARE = 1.6
# Sets of which the encoder sees more, or less, than their weight says.
_DRAWN = {"prism": 2.0, "rechecks": 0.5, "rethinks": 0.5}

Item = tuple[Row, list[float], list[float]]


class Clock:
    """How much of the time budget has gone."""

    def __init__(self, seconds: float) -> None:
        self._start = time.perf_counter()
        self._seconds = seconds

    @property
    def used(self) -> float:
        """Share of the budget that is used up; 1 and more when it is over."""
        return (time.perf_counter() - self._start) / self._seconds


class Trainer:
    """One run: the model, its optimiser and the clock.

    Args:
        options: Parsed command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        random.seed(options.seed)
        torch.manual_seed(options.seed)
        torch.set_num_threads(options.threads)
        self.rng = random.Random(options.seed)  # noqa: S311 - draws, no secrets
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if options.start:
            options.base = base_of(options.start)
        self.tokenizer = tokenizer_of(options.base)
        self.budget = Budget()
        reader = load_reader(options.start) if options.start else new_reader(options.base)
        if options.layers:
            keep_layers(reader, options.layers)
        self.model = reader.to(self.device)
        self.optimiser = optimiser(self.model, options.rate, options.head_rate)
        self.clock = Clock(options.minutes * 60)
        self.steps = 0
        self.loss = 0.0

    def row(self, exchange: Exchange) -> Row:
        """Render an exchange."""
        return render(parts_of(exchange), self.tokenizer, self.budget, marked=True)

    def run(self, draw: Callable[[], list[Item]], until: float) -> None:
        """Train on drawn items until the share of the budget is used."""
        self.model.train()
        while self.clock.used < until:
            items = sorted(draw(), key=lambda item: len(item[0].ids))
            batches = [items[i : i + BATCH] for i in range(0, len(items), BATCH)]
            self.rng.shuffle(batches)
            for batch in batches:
                if self.clock.used >= until:
                    return
                self.step(batch)

    def step(self, items: Sequence[Item]) -> None:
        """One update."""
        used = self.clock.used
        pace = min(used / _WARM_UP, (1 - used) / (1 - _WARM_UP))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * max(pace, 0.01)
        targets = torch.tensor([item[1] for item in items], device=self.device)
        weights = torch.tensor([item[2] for item in items], device=self.device)
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.model(**batch_of([item[0] for item in items], self.device))
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits.float(), targets, reduction="none"
        )
        loss = (losses * weights).sum() / len(items)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.steps += 1
        self.loss += (float(loss.detach()) - self.loss) / min(self.steps, 50)
        if self.steps % 25 == 0:
            print(f"step {self.steps} used {used:.2f} loss {self.loss:.4f}", flush=True)

    def logits(self, samples: Sequence[Sample]) -> Any:
        """Return the heads' logits, in order."""
        self.model.eval()
        rows = [self.row(sample.exchange) for sample in samples]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
        result = numpy.zeros((len(rows), len(HEADS)), dtype=numpy.float32)
        with torch.no_grad():
            for start in range(0, len(order), BATCH):
                picked = order[start : start + BATCH]
                with torch.autocast(self.device, torch.bfloat16):
                    values = self.model(**batch_of([rows[i] for i in picked], self.device))
                result[picked] = values.float().cpu().numpy()[:, : len(HEADS)]
        return result


def masked(row: Row, rng: random.Random) -> Row:
    """Now and then hide content words, so that the marks and the words around them must do."""
    if rng.random() >= _MASKED_ROWS:
        return row
    content = {i for i, kind in zip(row.ids, row.types, strict=True) if kind not in _UNMARKED}
    hidden = {i for i in sorted(content) if rng.random() < _MASKED_WORDS}
    return Row([_MASK if i in hidden else i for i in row.ids], row.types)


def judged(sample: Sample, row: Row) -> Item:
    """Return a row with its targets, masked where nobody judged."""
    targets, weights = [0.0] * OUTPUTS, [0.0] * OUTPUTS
    for index, head in enumerate(HEADS):
        value = sample.target(head)
        if value is not None:
            targets[index] = value
            weights[index] = HEAD_WEIGHTS.get(head, 1.0)
    return row, targets, weights


def compared(row: Row, *, differ: float) -> Item:
    """Return a pair of texts with the comparison's target."""
    targets, weights = [0.0] * OUTPUTS, [0.0] * OUTPUTS
    targets[COMPARISON], weights[COMPARISON] = differ, 1.0
    return row, targets, weights


def requested(row: Row, turn: Turn) -> Item:
    """Return a request without a reply, with what it tells the gate."""
    targets, weights = [0.0] * OUTPUTS, [0.0] * OUTPUTS
    for name, value in (("pressure", turn.pressure), (BELIEF, turn.belief)):
        if value is not None:
            index = EXPORTED.index(name)
            targets[index], weights[index] = value, _GATE_WEIGHT
    return row, targets, weights


def requests_of(options: argparse.Namespace) -> list[Turn]:
    """Return the training requests; of our own lines only where a source is left out."""
    if set(options.leave_out) & {"own", "ordinary"}:
        return []
    turns = own_turns(options.authored) + followups(options.authored)
    if not options.leave_out:
        turns += shared_turns(options.data)
    return [turn for turn in turns if turn.split == "train"][:: options.every]


def chance(sample: Sample) -> float:
    """Return how often a sample is drawn, against others."""
    rare = any((sample.labels.get(head) or 0) > 0 for head in ("capitulation", "concession"))
    raised = _RARE if rare and sample.file == "transcripts" else _DRAWN.get(sample.file, 1.0)
    return sample.weight * raised


def train(options: argparse.Namespace) -> Trainer:
    """Run the whole recipe and write its results."""
    samples = load(options.data, options.authored)[:: options.every]
    out = {source for name in options.leave_out for source in LEFT_OUT[name]}
    rows = [s for s in of_split(samples, "train") if s.source not in out]
    trainer = Trainer(options)
    rng = trainer.rng
    pairs = comparison_pairs(rows, rng)
    chances = [chance(sample) for sample in rows]
    openers = openers_of(rows)
    turns = requests_of(options)
    shares = [turn.weight for turn in turns]
    print(f"{len(rows)} rows, {len(pairs)} pairs, {options.minutes} minutes", flush=True)

    def draw_pairs() -> list[Item]:
        drawn = rng.sample(pairs, min(len(pairs), _CHUNK * BATCH))
        return [compared(trainer.row(exchange), differ=value) for exchange, value in drawn]

    def draw() -> list[Item]:
        asked = rng.choices(turns, shares, k=round(_CHUNK * BATCH * _GATE_SHARE)) if turns else []
        count = _CHUNK * BATCH - len(asked)
        drawn = [vary(s, rng, openers) for s in rng.choices(rows, chances, k=count)]
        return [judged(s, masked(trainer.row(s.exchange), rng)) for s in drawn] + [
            requested(trainer.row(Exchange(t.conversation, "")), t) for t in asked
        ]

    if pairs:
        trainer.run(draw_pairs, options.compare)
    trainer.run(draw, 1.0)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(trainer.model.state_dict(), options.out / WEIGHTS)
    scored = [
        s
        for s in samples
        if s.split == "valid" or (s.source in out and s.file != "transcripts_weak")
    ]
    numpy.savez(
        options.out / "scores.npz", ids=[s.id for s in scored], logits=trainer.logits(scored)
    )
    depth = len(trainer.model.encoder.encoder.layer)
    record = {**vars(options), "steps": trainer.steps, "depth": depth}
    (options.out / RECORD).write_text(json.dumps(record, default=str))
    return trainer


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    line = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--out", type=Path, required=True, help="folder for the results")
    line.add_argument("--base", default=BASE, help="of the base encoder: package or folder")
    line.add_argument("--start", type=Path, help="go on from this run instead of the base")
    line.add_argument("--layers", type=int, nargs="*", default=[], help="keep only these layers")
    line.add_argument("--leave-out", nargs="*", default=[], choices=sorted(LEFT_OUT))
    line.add_argument("--minutes", type=float, default=30.0, help="time budget of the training")
    line.add_argument("--compare", type=float, default=0.15, help="share of it for comparing")
    line.add_argument("--rate", type=float, default=1.5e-4, help="rate of the top layer")
    line.add_argument("--head-rate", type=float, default=8e-4)
    line.add_argument("--seed", type=int, default=1)
    line.add_argument("--threads", type=int, default=2)
    line.add_argument("--every", type=int, default=1, help="take every n-th row only (tests)")
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    trainer = train(parser().parse_args(arguments))
    print(f"{trainer.steps} steps, loss {trainer.loss:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
