"""Dotted keys: what a settings model can be told, and how a key is looked up, guessed and written."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo

MASK = "*" * 10


class Leaf(NamedTuple):
    """A key that holds a value: what checks it, and what it means."""

    adapter: TypeAdapter[Any]
    description: str


@cache
def leaves(model: type[BaseModel]) -> Mapping[str, Leaf]:
    """Return every key of a model that holds a value, nested models and tables included."""
    return dict(_walk(model, ""))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested values by dotted key."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `flat`."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *tables, name = key.split(".")
        branch = tree
        for table in tables:
            branch = branch.setdefault(table, {})
        branch[name] = value
    return tree


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for someone who wrote an unknown name."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid are {', '.join(names)}"


def value_at(model: BaseModel, key: str) -> Any:
    """Return the value of a dotted key; None for an entry that a table lacks."""
    value: Any = model
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part)
    return value


def assignment(name: str, value: Any) -> str:
    """Return a line of TOML; a comment for None, which TOML cannot say. Secrets are masked."""
    return f"# {name} =" if value is None else f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, SecretStr):
        return f'"{MASK}"'
    if isinstance(value, float):
        return repr(value)  # json would write Infinity for inf
    # A JSON string is a TOML string but for this one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Leaf]]:
    tables: list[tuple[str, FieldInfo]] = []
    for name, info in model.model_fields.items():
        kind: Any = info.annotation
        if get_origin(kind) is dict:  # TOML wants tables after plain keys
            tables.append((prefix + name, info))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, _leaf(Annotated[kind, "", *info.metadata], info)
    for key, info in tables:
        names, kind = get_args(info.annotation)
        for name in get_args(names):
            yield f"{key}.{name}", _leaf(kind, info)


def _leaf(kind: Any, info: FieldInfo) -> Leaf:
    return Leaf(TypeAdapter(kind), info.description or "")
