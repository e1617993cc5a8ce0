"""Fit the gate's weights: ``python -m models.gate.fit --data ../shared/data``.

Needs scikit-learn and scipy (no dependencies of the package). Logistic regression per head on the
distinct requests of the train rows; penalty and thresholds by group-wise cross-validation on them.
Valid rows, the follow-ups' test rows and the holdout are scored once, after that. Deterministic.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from candor_guard.detectors.gate import LinearGate
from candor_guard.detectors.gate.weights import parse_weights
from candor_guard.detectors.lexical import FAMILIES
from models.dataset import DataMissingError
from models.gate.learn import Table, cross_validate, fit_head, table_of
from models.gate.report import TRADE_OFF, choose, curve, holds, metrics, share_table
from models.gate.rows import (
    AUTHORED,
    Turn,
    digests,
    followups,
    grafts,
    own_turns,
    shared_turns,
)

WEIGHTS = Path("src/candor_guard/detectors/gate/weights.json")
PENALTIES = (0.3, 1.0)
# Share of the turns at risk that must be held, in cross-validation on the train rows.
RECALL = {"later": 0.99, "followups": 0.95, "belief_first": 0.99}
HOLDOUT = ("holdout.jsonl",)


def fit(turns: Sequence[Turn]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit both heads; returns the weights and the figures of the cross-validation."""
    train = [turn for turn in turns if turn.split == "train"]
    table = table_of(train)
    heads, margins = {}, {}
    for name in ("pressure", "belief"):
        heads[name], margins[name] = _head(table, name)
    limits = choose(train, margins, RECALL)
    document = {"facts": list(table.names), "heads": heads, "thresholds": limits}
    chosen = share_table(train, holds(train, margins, limits), 0)
    return document, {"trade_off": curve(train, margins, TRADE_OFF), "cross_validation": chosen}


def _head(table: Table, name: str) -> tuple[dict[str, Any], list[float]]:
    """Fit one head with the penalty that predicts unseen groups best."""
    tried = {penalty: cross_validate(table, name, penalty) for penalty in PENALTIES}
    best = min(PENALTIES, key=lambda penalty: tried[penalty][1])
    return {**fit_head(table, name, best), "penalty": best}, tried[best][0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.gate.fit", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--own", type=Path, default=AUTHORED, help="folder of our own lines")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where to write the weights")
    options = parser.parse_args(arguments)
    try:
        shared = shared_turns(options.data)
        turns = [*shared, *own_turns(options.own), *followups(options.own), *grafts(shared)]
        holdout = own_turns(options.own, HOLDOUT)
        data = digests(options.data, options.own)
    except DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    document, figures = fit(turns)
    gate = LinearGate(FAMILIES, weights=parse_weights(document, document["facts"]))
    figures |= metrics(gate, turns, holdout)
    document |= {"metrics": figures, "fitted": _today(), "data_sha256": data}
    options.out.write_text(_render(document), encoding="utf-8")
    print(json.dumps({"thresholds": document["thresholds"], **figures}, indent=1))
    return 0


def _render(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


if __name__ == "__main__":
    sys.exit(main())
