"""The code blocks of a Markdown page, and a run of them as a reader would type them."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# All blocks of a page share one namespace, as in one sitting; what each prints is kept apart.
DRIVER = """
import contextlib, io, json, sys
name, blocks = json.load(sys.stdin)
space, printed = {"__name__": "__main__"}, []
for line, source in blocks:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\\n" * line + source, name, "exec"), space)
    printed.append(out.getvalue())
json.dump(printed, sys.stdout)
"""
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Python.

    Attributes:
        line: Number of the line before its first one.
        source: Its text.
        prints: What the page says that it prints; None when it says nothing.
    """

    line: int
    source: str
    prints: str | None


def blocks_of(page: Path, *, marked: bool) -> list[Block]:
    """Return the Python blocks of a page.

    The text block that follows a Python block is what that block prints.

    Args:
        page: A Markdown file.
        marked: Only those whose fence says ``python run``; else all but ``python no-run``.
    """
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    open_: Block | None = None
    for fence in _FENCE.finditer(text):
        info, body = fence["info"].split(), fence["body"]
        if info == ["text"] and open_ is not None:
            found[-1] = Block(open_.line, open_.source, body.strip())
            open_ = None
        elif info == ["python", "run"] or (info == ["python"] and not marked):
            open_ = Block(text.count("\n", 0, fence.start()) + 1, body, None)
            found.append(open_)
        else:
            open_ = None
    return found


def missing(blocks: list[Block]) -> list[str]:
    """Return the packages that the blocks import and that are not installed."""
    roots: set[str] = set()
    for block in blocks:
        for node in ast.walk(ast.parse(block.source)):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                roots.add(node.module.partition(".")[0])
    return sorted(root for root in roots if importlib.util.find_spec(root) is None)


async def run(page: Path, blocks: list[Block], environment: dict[str, str]) -> list[str]:
    """Run blocks in a process of their own; returns what each of them printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", DRIVER,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip
    asked = json.dumps([str(page), [(block.line, block.source) for block in blocks]])
    out, err = await process.communicate(asked.encode())
    assert process.returncode == 0, err.decode()
    assert err.decode() == ""
    printed: list[str] = json.loads(out)
    return [text.strip() for text in printed]
