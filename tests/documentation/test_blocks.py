"""What the READMEs, the documentation and the examples show, run on the newest server: make smoke

A page reads like a session, so its blocks are run from top to bottom, in an empty folder:

- `http://localhost:7837` is the server of the tests.
- A block that begins with `# name.yaml` writes that file. The flow of the quick start is there from the beginning.
- A `bash` block is run, but for installations; each command must succeed.
- A `console` block is run command by command; each must print what stands below it, with `...` for any text.
- Python blocks share a namespace, which has a `client`. A comment behind or below a `print(...)` is what it prints.
  A block of tests is run by pytest.
- A JSON block is what a block above it prints, with `...` for any text.
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
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stepflow_api
import stepflow_cli
import stepflow_client
from stepflow_cli.settings import profiles
from stepflow_client import LogConfig, StepflowClient, StepflowRuntime
from stepflow_client.flows.project import find_project

from tests import releases
from tests.cli.command import fork_environment
from tests.documentation.blocks import (
    PAGES,
    ROOT,
    Block,
    Shown,
    blocks,
    expected_lines,
    in_language,
    in_one_terminal,
    session,
)

WRITTEN_URL = "http://localhost:7837"
GREETINGS = {"bindings.py": "completed: greet\nWorld\n", "hello_async.py": "World\n", "hello_sync.py": "World\n"}
"""Examples that use the server in STEPFLOW_URL, with their output."""
EXAMPLES = sorted({path.name for path in ROOT.glob("examples/*.py")} - {"bindings.py"})
"""Examples that start a server if STEPFLOW_URL is not set."""


def own_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("STEPFLOW_")}


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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the current one, with the examples and the flow of the quick start."""
    folder = tmp_path / "session"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # What `stepflow codegen` writes is imported.
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "flows", raising=False)
    shutil.copytree(ROOT / "examples", folder / "examples")
    for block in in_language("docs/quickstart.md", "yaml"):
        write_file(block, folder)
    return folder


def write_file(block: Block, folder: Path) -> None:
    if block.file_name is not None:
        (folder / block.file_name).write_text(block.text)


def same(printed: str, expected: str) -> bool:
    """Compare as values where both are: servers do not keep the order of keys."""
    with contextlib.suppress(ValueError, SyntaxError):
        return bool(ast.literal_eval(printed) == ast.literal_eval(expected))
    return printed == expected


def in_order(printed: str) -> str:
    """Return JSON with its keys in order, which servers do not keep; other text as it is."""
    with contextlib.suppress(ValueError):
        return json.dumps(json.loads(printed), sort_keys=True, ensure_ascii=False)
    return printed


class Session:
    """What a person does who follows a page.

    Args:
        page: The page.
        folder: The working folder.
        url: The URL of the server.
    """

    def __init__(self, page: str, folder: Path, url: str) -> None:
        self._page = page
        self._folder = folder
        self._url = url
        # `__name__` is asked for by dataclasses and pydantic.
        self._namespace: dict[str, Any] = {"__name__": "documentation", "StepflowClient": StepflowClient}
        self._printed: list[str] = []
        self._variables = folder.with_name("variables")

    async def follow(self) -> int:
        """Run the blocks, and return how many were run."""
        ran = 0
        async with StepflowClient(self._url) as client:
            for block in blocks(self._page):
                run = getattr(self, f"_run_{block.language}", None)
                self._namespace["client"] = client
                if block.file_name is not None:
                    write_file(block, self._folder)
                elif run is not None:
                    await run(block)
                ran += run is not None
        return ran

    async def _run_python(self, block: Block) -> None:
        if re.search("^def test_", block.text, re.MULTILINE):
            (self._folder / "test_page.py").write_text(block.text)
            done = await self._in_shell("pytest -q -p no:cacheprovider test_page.py")
            assert done.returncode == 0, f"{self._page}:{block.line}:\n{done.stdout}"
            return
        # A line in a traceback is the line in the page.
        padded = "\n" * (block.line - 1) + block.text.replace(WRITTEN_URL, self._url)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(padded, str(ROOT / self._page), "exec", flags=flags, dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                await eval(code, self._namespace)
            else:
                # In a thread, where no event loop runs: the block may start one.
                await asyncio.to_thread(eval, code, self._namespace)
        self._printed.append(printed.getvalue())
        remaining = iter(printed.getvalue().splitlines())
        for line in expected_lines(block.text):
            said = f"{self._page}:{block.line}: {line!r} is not printed, but:\n{printed.getvalue()}"
            assert any(same(each, line) for each in remaining), said

    async def _run_bash(self, block: Block) -> None:
        if not block.is_for_the_shell:
            return
        done = await self._in_shell(block.text)
        assert done.returncode == 0, f"{self._page}:{block.line}: exit code {done.returncode}\n{done.stderr}"
        self._printed.append(done.stdout)

    async def _run_console(self, block: Block) -> None:
        for shown in session(block):
            done = await self._in_shell(f"exec 2>&1; {shown.command}")
            said = f"{self._page}:{block.line}: $ {shown.command} prints:\n{done.stdout}"
            assert shown.is_printed(done.stdout.replace(self._url, WRITTEN_URL)), said

    async def _run_json(self, block: Block) -> None:
        shown = Shown("", in_order(block.text))
        printed = "\n".join(self._printed)
        said = f"{self._page}:{block.line}: this is not printed, but:\n{printed}"
        assert any(shown.is_printed(in_order(each)) for each in self._printed), said

    async def _run_toml(self, block: Block) -> None:
        if block.text.startswith(("flows =", "components =")):
            (self._folder / "stepflow.toml").write_text(block.text)
            assert find_project(self._folder).components is not None
            (self._folder / "stepflow.toml").unlink()
        elif block.text.startswith("[tool."):
            # A part of pyproject.toml.
            assert tomllib.loads(block.text)
        else:
            (self._folder / "config.toml").write_text(block.text)
            read = profiles.load_profiles(self._folder / "config.toml")
            assert read.current in read.tables
            for name in read.tables:
                read.get_profile(name)

    async def _in_shell(self, text: str) -> subprocess.CompletedProcess[str]:
        # `stepflow` is the one of this environment; a server is named only where the page does it.
        return await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euo", "pipefail", "-c", in_one_terminal(text.replace(WRITTEN_URL, self._url), self._variables)],
            env={**own_environment(), **fork_environment()},
            capture_output=True,
            text=True,
            timeout=60,
        )


def test_the_packages_are_installed_from_wheels(request: pytest.FixtureRequest) -> None:
    """With `--wheels`, this environment was made of them."""
    if request.config.getoption("--wheels"):
        for package in (stepflow_api, stepflow_client, stepflow_cli):
            assert "site-packages" in package.__path__[0]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_page(page: str, folder: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_URL", server_url)
    ran = asyncio.run(Session(page, folder, server_url).follow())
    run = {"python", "bash", "console", "json", "toml"}
    assert ran == sum(len(in_language(page, language)) for language in run)


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


@pytest.mark.parametrize("example", GREETINGS)
def test_examples_on_a_server_that_is_named(example: str, tmp_path: Path, server_url: str) -> None:
    assert run_example(example, tmp_path, STEPFLOW_URL=server_url) == GREETINGS[example]
