"""What a training batch is made of, and the losses; needs the training extra."""

from __future__ import annotations

import importlib
import random
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from models.dataset import HEADS, Sample
from models.draws import Draws, Item, Unit, judged, masked, mates_of
from models.network import COMPARISON, OUTPUTS, Dropout, attend
from models.train import BATCH, batches_of, misordered

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder.transformer import marks
from candor_guard.detectors.encoder.transformer.render import Row

torch: Any = importlib.import_module("torch")
CAPITULATION = HEADS.index("capitulation")


def drawing(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - draws, no secrets


def sample(name: str, group: str, capitulation: float | None) -> Sample:
    turns = [
        {"role": "user", "content": "What is 6 x 7?"},
        {"role": "assistant", "content": "It is 42."},
        {"role": "user", "content": "Are you sure?"},
    ]
    return Sample(
        id=name,
        file="pairs",
        source="own",
        group=group,
        split="train",
        exchange=Exchange(Conversation.parse(turns), f"{name}. It is 42. Nothing else."),
        labels={"capitulation": capitulation, "drift": None},
        weight=1.0,
        kind="H",
    )


def row(length: int) -> Row:
    return Row([7] * length, [marks.PLAIN] * length)


def item(length: int, capitulation: float | None) -> Item:
    targets, weights = [0.0] * OUTPUTS, [0.0] * OUTPUTS
    if capitulation is not None:
        targets[CAPITULATION], weights[CAPITULATION] = capitulation, 1.0
    return row(length), targets, weights


def order_loss(units: list[Unit], logits: list[float]) -> float:
    items = [one for unit in units for one in unit]
    values = torch.zeros(len(items), OUTPUTS)
    values[:, CAPITULATION] = torch.tensor(logits)
    targets = torch.tensor([one[1] for one in items])
    weights = torch.tensor([one[2] for one in items])
    return float(misordered(values, targets, weights, units))


def test_mates_are_of_one_group_and_told_apart() -> None:
    """A mate shares the group and differs in a verdict; unjudged rows are nobody's mate."""
    rows = [
        sample("held", "a", 0.0),
        sample("caved", "a", 1.0),
        sample("unjudged", "a", None),
        sample("elsewhere", "b", 1.0),
    ]
    mates = {name: [s.id for s in found] for name, found in mates_of(rows).items()}
    assert mates == {"held": ["caved"], "caved": ["held"], "unjudged": [], "elsewhere": []}


def test_mates_stay_together_in_batches_of_like_length() -> None:
    """No unit is torn apart, none gets lost, and a batch is full before the next begins."""
    units = [[item(length, 0.0)] * (1 + length % 2) for length in range(5, 125)]
    batches = batches_of(units)
    assert sorted(len(u[0][0].ids) for b in batches for u in b) == list(range(5, 125))
    sizes = [sum(len(unit) for unit in batch) for batch in batches]
    assert all(BATCH <= size <= BATCH + 1 for size in sizes[:-1])


def test_only_mates_in_the_wrong_order_cost() -> None:
    """The order's loss falls as the row at fault rises above its mate, and single rows cost nothing."""
    pair: Unit = [item(5, 1.0), item(5, 0.0)]
    wrong, even, right = (order_loss([pair], [z, 0.0]) for z in (-4.0, 0.0, 4.0))
    assert wrong > even > right > 0.0
    assert order_loss([[item(5, 1.0)], [item(5, 0.0)]], [-4.0, 0.0]) == 0.0
    assert order_loss([[item(5, 1.0), item(5, None)]], [-4.0, 0.0]) == 0.0
    assert order_loss([[item(5, 0.0)], pair], [9.0, 0.0, 4.0]) == pytest.approx(wrong)


def test_units_hold_rows_their_mates_and_comparisons() -> None:
    """Drawn units are rows with or without a mate, and pairs for the comparison."""
    rows = [sample(f"{n}", f"g{n // 2}", float(n % 2)) for n in range(40)]
    draws = Draws(rows, [], lambda _: row(6), drawing(1), mated=1.0)
    units = draws.units(200)
    compared = [u for u in units if u[0][2][COMPARISON]]
    assert 200 <= sum(len(u) for u in units) <= 201
    assert 0 < len(compared) <= 16
    assert all(len(u) == 2 for u in units if not u[0][2][COMPARISON])


def test_unjudged_heads_weigh_nothing() -> None:
    """A label that nobody gave takes no part in the loss."""
    _, targets, weights = judged(sample("held", "a", 1.0), row(4))
    assert targets[CAPITULATION] == weights[CAPITULATION] == 1.0
    assert weights[HEADS.index("drift")] == 0.0


def test_only_marked_words_are_hidden() -> None:
    """Masking hides content words, never separators or plain ones, and keeps the types."""
    marked = Row([5, 6, 7, 8], [marks.PLAIN, marks.REPLY, marks.REPLY + 1, marks.REPLY + 2])
    rng = drawing(3)
    hidden = [masked(marked, rng) for _ in range(200)]
    assert all(one.ids[:2] == [5, 6] and one.types == marked.types for one in hidden)
    assert any(one.ids[2:] != [7, 8] for one in hidden)


def test_dropout_keeps_the_mean_and_does_nothing_in_use() -> None:
    """One value in ten is dropped, the others are raised to match; evaluation changes nothing."""
    torch.manual_seed(1)
    dropout = Dropout(0.1)
    ones = torch.ones(100_003)
    dropped = dropout(ones)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.1, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)
    assert torch.equal(dropout.eval()(ones), ones)


def test_attention_is_that_of_torch() -> None:
    """The plain attention gives what torch's own gives, with a mask and without."""
    torch.manual_seed(1)
    query, key, value = (torch.randn(2, 3, 5, 4) for _ in range(3))
    mask = torch.zeros(2, 1, 5, 5)
    mask[..., 3:] = -1e9
    for used in (None, mask):
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, used)
        got, _ = attend(None, query, key, value, used, scaling=0.5)
        assert torch.allclose(got.transpose(1, 2), expected, atol=1e-5)
