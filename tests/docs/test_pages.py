"""What the documentation shows can be typed, and prints what the page says that it prints."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.docs.pages import Block, blocks_of, missing, run

from candor_proxy.cli import main
from candor_proxy.demo.scripted import make_scripted_app
from candor_proxy.demo.servers import serving

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
# LiteLLM's imports warn, so that its guide is run among its own tests.
GUIDES = sorted(p for p in (ROOT / "docs" / "guides").glob("*.md") if p.stem != "litellm")
EXAMPLES = [ROOT / "examples" / name for name in ("openai_client.py", "notebook_check.py")]
PATIENCE = 60.0


@asynccontextmanager
async def environment() -> AsyncIterator[dict[str, str]]:
    """What a reader has set, with a scripted model in the place of OpenAI's server."""
    async with asyncio.timeout(PATIENCE), serving(make_scripted_app()) as model:
        # The clients that the pages show read these by themselves; nothing of ours does.
        kept = dict(os.environ)  # noqa: TID251 - handed on to a child process, not read
        kept |= {"OPENAI_BASE_URL": f"{model}/v1", "OPENAI_API_KEY": "sk-demo"}
        yield kept


async def shows_what_happens(page: Path, blocks: list[Block]) -> None:
    if lacking := missing(blocks):
        pytest.skip(f"{page.name} needs {', '.join(lacking)}")
    async with environment() as given:
        printed = await run(page, blocks, given)
    for block, text in zip(blocks, printed, strict=True):
        assert text == (block.prints or ""), f"{page.name}, line {block.line}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
async def test_guides(page: Path) -> None:
    """Every Python block of a guide runs, in order, and prints what the page says."""
    blocks = blocks_of(page, marked=False)
    if blocks:
        await shows_what_happens(page, blocks)


async def test_readme() -> None:
    """Every block of the front page whose fence says `python run` does what it says."""
    page = ROOT / "README.md"
    blocks = blocks_of(page, marked=True)
    if blocks:
        await shows_what_happens(page, blocks)


async def test_evaluation() -> None:
    """The page on measuring shows in Python what it says."""
    page = ROOT / "docs" / "evaluation.md"
    blocks = blocks_of(page, marked=True)
    assert blocks
    await shows_what_happens(page, blocks)


def test_the_labelled_example_can_be_compared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that the page on measuring gives for two detectors runs on the file that it names."""
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    command = next(line for line in text.splitlines() if " --against " in line)
    monkeypatch.chdir(ROOT)
    assert main(command.split()[1:]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "12 of 12 rows compared, 6 groups" in out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
async def test_examples(path: Path) -> None:
    """Every example runs offline, against a scripted model, and ends well."""
    if "openai" in path.name:
        pytest.importorskip("openai")
    async with asyncio.timeout(PATIENCE):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", str(path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "capitulation" in out.decode() or "regenerate" in out.decode()


def test_blocks(tmp_path: Path) -> None:
    """Blocks are found with their lines, marks and what they print."""
    page = tmp_path / "page.md"
    page.write_text(
        "# T\n\n```python\na = 1\n```\n\nwords\n\n```python run\nprint(a)\n```\n\n```text\n1\n```\n"
        "\n```bash\nls\n```\n\n```text\nno output of Python\n```\n\n```python no-run\nboom()\n```\n"
    )
    whole = [Block(3, "a = 1\n", None), Block(9, "print(a)\n", "1")]
    assert blocks_of(page, marked=False) == whole
    assert blocks_of(page, marked=True) == whole[1:]


def test_missing_packages() -> None:
    """A page that needs what is not installed is known by its imports."""
    source = "import json\nimport no_such_one.x\nfrom no_such_two import y\n"
    assert missing([Block(0, source, None)]) == ["no_such_one", "no_such_two"]
