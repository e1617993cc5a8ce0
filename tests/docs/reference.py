"""Writes docs/reference.md from the docstrings: ``python -m tests.docs.reference``.

It reads the sources and imports nothing, so that it needs none of the packages that the
integrations are for.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference.md"
SOURCES = ROOT / "src"
WIDTH = 88

# Modules in the order of the page, and of each the names that are promised; None: its `__all__`.
MODULES: Mapping[str, tuple[str, ...] | None] = MappingProxyType({
    "candor_guard": None,
    "candor_guard.tabular": ("row", "rows"),
    "candor_guard.errors": (),
    "candor_guard.integrations.openai": None,
    "candor_guard.integrations.litellm": None,
    "candor_guard.integrations.asgi": ("CandorMiddleware", "Patience"),
    "candor_guard.integrations.langchain": None,
    "candor_guard.integrations.pydantic_ai": None,
    "candor_guard.upstreams": ("Upstream", "UpstreamRequest", "UpstreamResponse"),
    "candor_guard.upstreams.direct": ("DirectUpstream",),
    "candor_guard.upstreams.litellm": ("LiteLLMUpstream",),
    "candor_guard.detectors": ("Detector", "PreGate"),
    "candor_guard.conversation": ("Message", "Conversation", "Exchange"),
    "candor_guard.testing": (),
})  # fmt: skip
INTRODUCTION = """# API reference

Made from the docstrings by `python -m tests.docs.reference`; a test keeps it true. The guides show
the same in use: [Python](guides/python.md), [OpenAI](guides/openai.md),
[LiteLLM](guides/litellm.md), [ASGI](guides/asgi.md), [LangChain](guides/langchain.md),
[Pydantic AI](guides/pydantic-ai.md). What is not on this page may change without notice.
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Module:
    """A module's source.

    Attributes:
        tree: Parsed.
        definitions: Its classes and functions by name.
        imported: Where other names come from.
    """

    tree: ast.Module
    definitions: Mapping[str, Definition]
    imported: Mapping[str, str]

    @property
    def listed(self) -> tuple[str, ...]:
        """The names in its `__all__`."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return tuple(ast.literal_eval(node.value))
        return ()


def module(name: str) -> Module:
    """Read a module by its dotted name."""
    stem = SOURCES.joinpath(*name.split("."))
    path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return Module(
        tree,
        {node.name: node for node in tree.body if isinstance(node, kinds)},
        {
            alias.asname or alias.name: node.module
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        },
    )


def found(name: str, source: Module) -> Definition | None:
    """Return what a name stands for, followed to where it is defined; None for a plain value."""
    while name not in source.definitions and name in source.imported:
        source = module(source.imported[name])
    return source.definitions.get(name)


def reference() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for name, chosen in MODULES.items():
        source = module(name)
        names = source.listed if chosen is None else chosen
        names = names or tuple(n for n in source.definitions if not n.startswith("_"))
        parts += [f"## `{name}`\n", prose(ast.get_docstring(source.tree) or "")]
        for entry in names:
            definition = found(entry, source)
            if definition is not None:
                parts += described(definition, entry, level=3)
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def described(definition: Definition, name: str, *, level: int) -> Iterator[str]:
    """Yield the paragraphs about a class, with its members, or a function."""
    yield f"{'#' * level} `{name}`\n"
    yield f"```python\n{signature(definition, name)}\n```\n"
    yield prose(ast.get_docstring(definition) or "")
    if isinstance(definition, ast.ClassDef):
        yield fields(definition)
        for member in definition.body:
            if isinstance(member, Function) and _is_told(member):
                yield from described(member, f"{name}.{member.name}", level=level + 1)


def _is_told(member: Function) -> bool:
    return not (member.name.startswith("_") or {"override", "overload"} & decorators(member))


def signature(definition: Definition, name: str) -> str:
    """Return how a thing is called; a property's type."""
    if isinstance(definition, ast.ClassDef):
        return _class_signature(definition, name)
    returns = f" -> {ast.unparse(definition.returns)}" if definition.returns else ""
    if "property" in decorators(definition):
        return f"{name}{returns.replace(' -> ', ': ')}"
    start = "async " if isinstance(definition, ast.AsyncFunctionDef) else ""
    return _wrapped(f"{start}{name}", _parameters(definition), returns)


def _class_signature(definition: ast.ClassDef, name: str) -> str:
    for member in definition.body:
        if isinstance(member, Function) and member.name == "__init__":
            return _wrapped(name, _parameters(member), "")
    if "dataclass" in decorators(definition):
        return _wrapped(name, [ast.unparse(m) for m in _annotated(definition)], "")
    bases = ", ".join(ast.unparse(base) for base in definition.bases)
    return f"class {name}({bases})" if bases else f"class {name}"


def _annotated(definition: ast.ClassDef) -> list[ast.AnnAssign]:
    return [member for member in definition.body if isinstance(member, ast.AnnAssign)]


def _parameters(function: Function) -> list[str]:
    arguments = function.args
    parts: list[str] = []
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    parts += [_parameter(a, d) for a, d in zip(positional, defaults, strict=True)]
    if arguments.vararg:
        parts.append(f"*{_parameter(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [
        _parameter(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        parts.append(f"**{_parameter(arguments.kwarg, None)}")
    return [part for part in parts if part not in ("self", "cls")]


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    if argument.annotation is None:
        return argument.arg + (f"={ast.unparse(default)}" if default else "")
    typed = f"{argument.arg}: {ast.unparse(argument.annotation)}"
    return typed + (f" = {ast.unparse(default)}" if default else "")


def _wrapped(start: str, parameters: list[str], end: str) -> str:
    line = f"{start}({', '.join(parameters)}){end}"
    if len(line) <= WIDTH:
        return line
    return f"{start}(\n" + "".join(f"    {p},\n" for p in parameters) + f"){end}"


def decorators(definition: Definition) -> set[str]:
    """Return the names of a definition's decorators."""
    return {
        ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in definition.decorator_list
    }


def fields(definition: ast.ClassDef) -> str:
    """Return a table of the fields that are described where they are defined (`Field`)."""
    rows: list[str] = []
    for member in _annotated(definition):
        value = member.value
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "Field":
            told = {keyword.arg: keyword.value for keyword in value.keywords}
            words = ast.literal_eval(told["description"]) if "description" in told else ""
            default = ast.unparse(told["default"]) if "default" in told else "none"
            words = words.replace("|", "\\|")
            rows.append(f"| `{ast.unparse(member.target)}` | `{default}` | {words} |\n")
    head = "| field | default | meaning |\n| --- | --- | --- |\n"
    return head + "".join(rows) if rows else ""


# -- docstrings ------------------------------------------------------------------------------------

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+): (.*)$")


def prose(docstring: str) -> str:
    """Return a docstring as Markdown."""
    blocks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", docstring.strip()):
        first, _, rest = paragraph.partition("\n")
        if _SECTION.match(first):
            blocks += [f"**{first[:-1]}**\n", _entries(textwrap.dedent(rest))]
        elif paragraph.startswith("    ") or _is_art(paragraph):
            blocks.append(f"```text\n{textwrap.dedent(paragraph)}\n```\n")
        else:
            blocks.append(_inline(paragraph.replace("::", ":")) + "\n")
    return "\n".join(blocks)


def _is_art(paragraph: str) -> bool:
    return "──" in paragraph


def _entries(text: str) -> str:
    """Return a section's entries as a list."""
    items: list[str] = []
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            items.append(f"- `{entry[1]}`: {_inline(entry[2])}\n")
        elif items:
            items[-1] = items[-1].rstrip("\n") + f" {_inline(line.strip())}\n"
        else:
            items.append(f"- {_inline(line.strip())}\n")
    return "".join(items)


def _inline(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
