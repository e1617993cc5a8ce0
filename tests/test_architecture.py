"""Habits of the house that no linter checks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "proxy", "models", "benchmarks")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MOST_LINES = 400


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_modules() -> None:
    """The checks below look at something."""
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES + TESTS, ids=name)
def test_modules_are_short(path: Path) -> None:
    """No module is longer than one sitting."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_say_what_they_are(path: Path) -> None:
    """Every package and module begins with its docstring."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=name)
def test_tests_state_their_claim(path: Path) -> None:
    """Every test says in one docstring what it holds."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tests = [n for n in ast.walk(tree) if isinstance(n, kinds) and n.name.startswith("test_")]
    assert [test.name for test in tests if not ast.get_docstring(test)] == []


def test_packages_have_an_init() -> None:
    """Every folder with modules is a package with a docstring of its own."""
    folders = {path.parent for folder in FOLDERS[:2] for path in (ROOT / folder).rglob("*.py")}
    assert [
        name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()
    ] == []
