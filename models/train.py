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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from candor_guard.conversation import Exchange
from candor_guard.detectors.encoder.transformer.render import Budget, Row, parts_of, render
from candor_guard.verdict import LABELS
from models.augment import crossed
from models.dataset import AUTHORED, HEADS, LEFT_OUT, SHARED, Sample, load, of_split
from models.distil import Teacher
from models.draws import Draws, Unit, requests_of
from models.network import (
    BASE,
    RECORD,
    SCORES,
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
_WARM_UP = 0.06
_CLIP = 1.0
# How often a row brings a mate (models/draws.py), and what their order counts beside the labels.
_MATED, _ORDER_WEIGHT = 0.5, 0.5


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
        self.teacher = None
        if options.teacher:
            self.teacher = Teacher(load_reader(options.teacher).to(self.device))
        self.optimiser = optimiser(self.model, options.rate, options.head_rate)
        self.clock = Clock(options.minutes * 60)
        self.steps = 0
        self.loss = 0.0

    def row(self, exchange: Exchange) -> Row:
        """Render an exchange."""
        return render(parts_of(exchange), self.tokenizer, self.budget, marked=True)

    def run(self, draw: Callable[[], list[Unit]], until: float) -> None:
        """Train on drawn units until the share of the budget is used.

        The next units are drawn while these are learnt. The generator's draws keep their order: the
        shuffle comes before the next units are asked for, and a step draws nothing from it.
        """
        self.model.train()
        with ThreadPoolExecutor(1) as drawer:
            coming = drawer.submit(draw)
            while self.clock.used < until:
                batches = batches_of(coming.result())
                self.rng.shuffle(batches)
                coming = drawer.submit(draw)
                for batch in batches:
                    if self.clock.used >= until:
                        return
                    self.step(batch)

    def step(self, units: Sequence[Unit]) -> None:
        """One update."""
        items = [item for unit in units for item in unit]
        used = self.clock.used
        pace = min(used / _WARM_UP, (1 - used) / (1 - _WARM_UP))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * max(pace, 0.01)
        targets = torch.tensor([item[1] for item in items], device=self.device)
        weights = torch.tensor([item[2] for item in items], device=self.device)
        batch = batch_of([item[0] for item in items], self.device)
        with torch.autocast(self.device, torch.bfloat16):
            states = self.model.states(**batch)
            logits = self.model.judge(states, batch["attention_mask"], batch["token_type_ids"])
            lesson = self.teacher.lesson(batch, states, logits) if self.teacher else 0.0
        logits = logits.float()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, targets, reduction="none"
        )
        losses = losses * weights
        loss = (losses.sum() + _ORDER_WEIGHT * misordered(logits, targets, weights, units)) / len(
            items
        )
        loss = loss + lesson
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


def batches_of(units: Sequence[Unit]) -> list[list[Unit]]:
    """Batches of about `BATCH` rows of like length, no unit torn apart."""
    batches: list[list[Unit]] = []
    size = BATCH
    for unit in sorted(units, key=lambda unit: max(len(item[0].ids) for item in unit)):
        if size >= BATCH:
            batches.append([])
            size = 0
        batches[-1].append(unit)
        size += len(unit)
    return batches


def misordered(logits: Any, targets: Any, weights: Any, units: Sequence[Unit]) -> Any:
    """The loss of mates in the wrong order: softplus of how far the one at fault lies below the other.

    A pairwise logistic loss (Burges et al. 2005, RankNet) over the two rows of a unit, for each
    verdict that is judged in both and differs. What mates share (topic, register) cancels out.
    """
    first, at = [], 0
    for unit in units:
        first += [at] if len(unit) > 1 else []
        at += len(unit)
    one = torch.tensor(first, dtype=torch.long, device=logits.device)
    columns = [HEADS.index(label) for label in LABELS]
    above = (targets[one] - targets[one + 1])[:, columns]
    judged_both = ((weights[one] > 0) & (weights[one + 1] > 0))[:, columns]
    apart = (logits[one] - logits[one + 1])[:, columns]
    return (torch.nn.functional.softplus(-above * apart) * judged_both * above.abs()).sum()


def train(options: argparse.Namespace) -> Trainer:
    """Run the whole recipe and write its results."""
    samples = load(options.data, options.authored)[:: options.every]
    out = {source for name in options.leave_out for source in LEFT_OUT[name]}
    rows = [s for s in of_split(samples, "train") if s.source not in out]
    rows += crossed(rows)
    trainer = Trainer(options)
    turns = requests_of(options)
    draws = Draws(rows, turns, trainer.row, trainer.rng, mated=options.mated)
    print(f"{len(rows)} rows, {len(draws.pairs)} pairs, {options.minutes} minutes", flush=True)
    if draws.pairs:
        trainer.run(lambda: draws.comparisons(_CHUNK * BATCH), options.compare)
    trainer.run(lambda: draws.units(_CHUNK * BATCH), 1.0)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(trainer.model.state_dict(), options.out / WEIGHTS)
    scored = [
        s
        for s in samples
        if s.split == "valid" or (s.source in out and s.file != "transcripts_weak")
    ]
    numpy.savez(options.out / SCORES, ids=[s.id for s in scored], logits=trainer.logits(scored))
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
    line.add_argument("--teacher", type=Path, help="a run whose answers are learnt, too")
    line.add_argument("--leave-out", nargs="*", default=[], choices=sorted(LEFT_OUT))
    line.add_argument("--minutes", type=float, default=30.0, help="time budget of the training")
    line.add_argument("--compare", type=float, default=0.15, help="share of it for comparing")
    line.add_argument("--rate", type=float, default=1.5e-4, help="rate of the top layer")
    line.add_argument("--head-rate", type=float, default=8e-4)
    line.add_argument("--mated", type=float, default=_MATED, help="share of rows with a mate")
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
