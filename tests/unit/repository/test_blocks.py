"""The code blocks of the pages parse; `make smoke` runs them from the built wheels."""

from __future__ import annotations

import ast
import json
import tomllib

import pytest
import yaml

from tests.documentation.blocks import LANGUAGES, PAGES, Block, Shown, blocks, session

BLOCKS = [(page, block) for page in PAGES for block in blocks(page)]


def parse(block: Block) -> None:
    """Parse a block in its declared language."""
    match block.language:
        case "python":
            compile(block.text, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        case "json":
            json.loads(block.text)
        case "toml":
            tomllib.loads(block.text)
        case "yaml":
            yaml.compose(block.text)
        case "console":
            assert session(block)


def test_each_block_is_valid_in_its_language() -> None:
    assert len(BLOCKS) > 200
    for page, block in BLOCKS:
        assert block.language in LANGUAGES, f"{page}:{block.line}: a block of {block.language or 'no language'}"
        try:
            parse(block)
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            pytest.fail(f"{page}:{block.line}: {error}")


@pytest.mark.parametrize(
    ("language", "text"),
    [("python", "x ="), ("json", "{x: 1}"), ("toml", "x"), ("yaml", "a: [1"), ("console", "no command")],
)
def test_an_invalid_block_is_detected(language: str, text: str) -> None:
    with pytest.raises((ValueError, SyntaxError, yaml.YAMLError, AssertionError)):
        parse(Block(language, 1, text))


def test_a_block_either_installs_or_runs() -> None:
    for page, block in BLOCKS:
        if block.language == "bash" and not block.is_for_the_shell and "--watch" not in block.text:
            assert "stepflow run" not in block.text, f"{page}:{block.line}"


def test_a_session_pairs_commands_with_their_output() -> None:
    first, second = session(Block("console", 1, "$ one\n$ two --x\nprinted ... here\n\nlast\n"))
    assert first == ("one", "")
    assert second.command == "two --x"
    assert second.is_printed("printed 7 here\n\nlast\n")
    assert not second.is_printed("printed here\n\nlast\n")
    assert not second.is_printed("printed 7 here\n\nlast\nmore\n")
    with pytest.raises(AssertionError, match="begins with a command"):
        session(Block("console", 1, "printed\n"))


def test_a_named_block_is_a_file() -> None:
    assert Block("yaml", 1, "# a.yaml\nsteps: []\n").file_name == "a.yaml"
    assert Block("yaml", 1, "steps: []\n").file_name is None
    assert Shown("x", "").is_printed("")
