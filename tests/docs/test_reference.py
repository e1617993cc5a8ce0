"""The API reference says what the docstrings say."""

from __future__ import annotations

import ast

from tests.docs.reference import MODULES, PAGE, described, fields, found, module, prose, reference


def test_the_page_is_true() -> None:
    """The page is what its generator makes of the sources: run `python -m tests.docs.reference`."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_everything_promised_is_described() -> None:
    """Every name on the page is a class or a function with a docstring, members included."""
    for name, chosen in MODULES.items():
        source = module(name)
        for entry in source.listed if chosen is None else chosen:
            definition = found(entry, source)
            if entry != "__version__":
                assert definition is not None, f"{name}.{entry}"
                assert ast.get_docstring(definition), f"{name}.{entry}"


def test_classes() -> None:
    """A class is shown with its parameters and public members, without what it only overrides."""
    source = '''
class A(B):
    """Does.

    Args:
        x: A number,
            or none.

    Raises:
        ValueError: If ``x`` is no number.
    """

    def __init__(self, x: int | None = None, *, y: str = "a") -> None:
        pass

    async def work(self, *parts: bytes, **more: int) -> bytes:
        """Work."""

    @property
    def size(self) -> int:
        """Its size."""

    @override
    def inherited(self): ...

    def _own(self): ...
'''
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    text = "\n".join(described(definition, "A", level=3))
    assert "A(x: int | None = None, *, y: str = 'a')" in text
    assert "- `x`: A number, or none.\n" in text
    assert "- `ValueError`: If `x` is no number.\n" in text
    assert "#### `A.work`" in text
    assert "async A.work(*parts: bytes, **more: int) -> bytes" in text
    assert "A.size: int" in text
    assert "inherited" not in text
    assert "_own" not in text


def test_fields() -> None:
    """Fields with a description of their own become a table."""
    source = 'class P(M):\n    mode: str = Field(default="a", description="a|b")\n'
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    assert "| `mode` | `'a'` | a\\|b |" in fields(definition)


def test_prose() -> None:
    """Examples and drawings stay as they are typed."""
    assert prose("Use it::\n\n    a = 1\n    b = 2") == "Use it:\n\n```text\na = 1\nb = 2\n```\n"
