"""What the READMEs, the documentation and the examples show, run on the real server, the newest one.

A README reads like a session. Its Python blocks are run from top to bottom in one namespace, which has a `client`; its
shell blocks are run but for installations. The rules are few:

- `http://localhost:7837` is the server of the tests.
- A YAML block that begins with `# name.yaml` is that file, in the folder where all is run.
- A comment behind or below a `print(...)` is what it prints. A comment on another line is a remark.
- A JSON block is the output of one of the shell blocks.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from stepflow_cli.settings import profiles
from stepflow_client import LogConfig, StepflowClient, StepflowRuntime
from stepflow_client.flows.project import find_project

from tests import releases
from tests.cli.command import forked
from tests.releases import ROOT

WRITTEN_URL = "http://localhost:7837"
GENERATED = {"docs/cli.md", "docs/servers.md"}
PAGES = [*ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/[!.]*.md")]
READMES = ["README.md", *sorted({path.relative_to(ROOT).as_posix() for path in PAGES} - GENERATED)]
"""The pages of the documentation too; those that scripts write hold no code to run."""
EXAMPLES = sorted(path.name for path in ROOT.glob("examples/*.py"))
"""Each brings a server of its own; those of a greeting use the one that STEPFLOW_URL names, if any."""
LANGUAGES = {"javascript", "python", "bash", "yaml", "json", "toml", "text"}
INCLUDED = re.compile(r'--8<-- "examples/[\w./]+"\n')
"""A file that the site shows in a block; the tests of the examples run it."""
NOT_RUN = ("pip install", "make ")

FENCE = re.compile(r"^ {0,3}(?:```|~~~)(?P<language>.*)$")
FILE_NAME = re.compile(r"# (?P<name>[\w.-]+\.(?:yaml|yml|json))\n")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    line: int
    """The line of its first line of code, from 1."""
    text: str


def blocks(readme: str) -> list[Block]:
    found: list[Block] = []
    opened: tuple[str, int] | None = None
    lines = (ROOT / readme).read_text("utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        fence = FENCE.match(line)
        if fence is None:
            continue
        if opened is None:
            opened = fence["language"].strip(), number + 1
        else:
            language, first = opened
            found.append(Block(language, first, "".join(f"{each}\n" for each in lines[first - 1 : number - 1])))
            opened = None
    assert opened is None, f"{readme}: the last block is not closed"
    return found


def in_language(readme: str, language: str) -> list[Block]:
    return [block for block in blocks(readme) if block.language == language]


def run_in_shell(block: Block) -> bool:
    commands = [line for line in block.text.splitlines() if line and not line.startswith("#")]
    return not all(line.startswith(NOT_RUN) or " --watch" in line for line in commands)


def own_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("STEPFLOW_")}


def with_blocks(language: str) -> list[str]:
    return [readme for readme in READMES if in_language(readme, language)]


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """The URL of a server of the newest release, whatever releases the other tests run on."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        # A flow that fails on purpose would fill the log.
        started = StepflowRuntime.start(log_config=LogConfig(forward=False))
    with started as server:
        yield server.url


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the current one, with the examples and the files that the README of the test shows."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    # The guides use the flow of the quick start.
    for quickstart in in_language("docs/quickstart.md", "yaml"):
        if named := FILE_NAME.match(quickstart.text):
            (tmp_path / named["name"]).write_text(quickstart.text)
    for block in in_language(request.getfixturevalue("readme"), "yaml"):
        if named := FILE_NAME.match(block.text):
            (tmp_path / named["name"]).write_text(block.text)
    return tmp_path


def expected_lines(source: str) -> list[str]:
    """Return what the comments say the prints of a block print."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token for token in tokens if token.type == tokenize.COMMENT}
    expected: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            line = node.end_lineno or 0
            if line in comments:
                expected.append(comments[line].string.removeprefix("# "))
            while (below := comments.get(line := line + 1)) and below.line.lstrip().startswith("#"):
                expected.append(below.string.removeprefix("# "))
    return expected


def same(printed: str, expected: str) -> bool:
    """Compare as values where both are: servers do not keep the order of keys."""
    with contextlib.suppress(ValueError, SyntaxError):
        return bool(ast.literal_eval(printed) == ast.literal_eval(expected))
    return printed == expected


async def run_block(block: Block, source: str, name: str, namespace: dict[str, Any]) -> str:
    """Run a block and return what it printed; a line in a traceback is the line in the README."""
    padded = "\n" * (block.line - 1) + source
    code = compile(padded, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, namespace)
        else:
            # In a thread, where no event loop runs: the block may start one.
            await asyncio.to_thread(eval, code, namespace)
    return printed.getvalue()


def with_written_modules(readme: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Python blocks import what the shell blocks let `stepflow codegen` write."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "flows", raising=False)
    for block in in_language(readme, "bash"):
        lines = block.text.splitlines()
        if all(line.startswith("stepflow codegen ") for line in lines):
            for line in lines:
                command = [sys.executable, "-m", "stepflow_cli", *shlex.split(line)[1:]]
                subprocess.run(command, env=own_environment(), check=True, timeout=60)


@pytest.mark.parametrize("readme", with_blocks("python"))
def test_python_blocks(readme: str, folder: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_URL", server_url)
    with_written_modules(readme, folder, monkeypatch)
    ran: list[int] = []

    async def run_all() -> None:
        # `__name__` is asked for by dataclasses and pydantic.
        namespace: dict[str, Any] = {"__name__": "documentation", "StepflowClient": StepflowClient}
        async with StepflowClient(server_url) as client:
            for block in in_language(readme, "python"):
                namespace["client"] = client
                source = block.text.replace(WRITTEN_URL, server_url)
                printed = await run_block(block, source, str(ROOT / readme), namespace)
                remaining = iter(printed.splitlines())
                for line in expected_lines(block.text):
                    told = f"{readme}:{block.line}: {line!r} is not printed, but:\n{printed}"
                    assert any(same(each, line) for each in remaining), told
                ran.append(block.line)

    asyncio.run(run_all())
    # Counted in another way than the blocks were found.
    text = (ROOT / readme).read_text("utf-8")
    assert len(ran) == len(re.findall(r"(?:```|~~~)\s*py", text)) == len(in_language(readme, "python"))


@pytest.mark.parametrize("readme", with_blocks("bash"))
def test_shell_blocks(readme: str, folder: Path, server_url: str) -> None:
    # `stepflow` is the one of this environment; a server is named only where the README does it.
    environment = {**own_environment(), **forked()}
    outputs: list[str] = []
    for block in in_language(readme, "bash"):
        if not run_in_shell(block):
            assert "stepflow run" not in block.text or "--watch" in block.text, (
                f"{readme}:{block.line}: a block installs or runs, not both"
            )
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text.replace(WRITTEN_URL, server_url)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{readme}:{block.line}: exit code {done.returncode}\n{done.stderr}"
        outputs.append(done.stdout)
    for block in in_language(readme, "json"):
        # Servers do not keep the order of keys.
        printed = [json.loads(output) for output in outputs if output.startswith(("{", "[", '"'))]
        assert json.loads(block.text) in printed, f"{readme}:{block.line}: no command prints this"


@pytest.mark.parametrize("readme", with_blocks("toml"))
def test_toml_blocks_are_profiles_or_projects(readme: str, tmp_path: Path) -> None:
    for block in in_language(readme, "toml"):
        if block.text.startswith(("flows =", "components =")):
            (tmp_path / "stepflow.toml").write_text(block.text)
            assert find_project(tmp_path).components is not None
            continue
        if block.text.startswith("[tool."):
            # A part of pyproject.toml.
            assert tomllib.loads(block.text)
            continue
        (tmp_path / "config.toml").write_text(block.text)
        read = profiles.load(tmp_path / "config.toml")
        assert read.current in read.tables
        for name in read.tables:
            read.get(name)


@pytest.mark.parametrize("readme", READMES)
def test_every_block_says_what_it_is(readme: str) -> None:
    for block in blocks(readme):
        if block.language.startswith("{") and INCLUDED.fullmatch(block.text):
            continue
        assert block.language in LANGUAGES, f"{readme}:{block.line}: a block of {block.language or 'no language'}"


def run_example(name: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / name],
        cwd=folder,
        env={**own_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(folder.iterdir()) == []
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(example: str, tmp_path: Path) -> None:
    assert run_example(example, tmp_path)


@pytest.mark.parametrize("example", ["hello_async.py", "hello_sync.py"])
def test_examples_on_a_server_that_is_named(example: str, tmp_path: Path, server_url: str) -> None:
    assert run_example(example, tmp_path, STEPFLOW_URL=server_url) == "World\n"


def test_the_pages_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    python = sum(len(in_language(readme, "python")) for readme in READMES)
    shell = sum(run_in_shell(block) for readme in READMES for block in in_language(readme, "bash"))
    with capsys.disabled():
        print(f"\n{len(READMES)} pages: {python} Python blocks and {shell} shell blocks are run")
    assert "docs/guides/hosts.md" in READMES
    assert python
    assert shell
