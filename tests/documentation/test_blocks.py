"""The code blocks of the READMEs, the documentation and the examples run on the newest server: make smoke

A page reads like a session, so its blocks run from top to bottom in an empty folder:

- `http://localhost:7837` stands for the test server.
- A block that starts with `# name.yaml` writes that file. The flow of the quick start exists from the start.
- A `bash` block runs, except for installations; each command must succeed.
- A `console` block runs command by command; each must print the lines below it, in which `...` matches any text.
- Python blocks share a namespace with a `client`. A comment after or below `print(...)` is the expected output.
  pytest runs blocks with tests.
- A JSON block is the output of an earlier block, in which `...` matches any text.
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
"""Examples that use the server in STEPFLOW_URL, with their expected output."""
EXAMPLES = sorted({path.name for path in ROOT.glob("examples/*.py")} - {"bindings.py"})
"""Examples that start a server if STEPFLOW_URL is not set."""


def own_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("STEPFLOW_")}


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """The URL of a server of the newest release, whatever `--servers` selects."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        # Flows that fail on purpose would clutter the log.
        started = StepflowRuntime.start(log_config=LogConfig(forward=False))
    with started as server:
        yield server.url


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new working directory with only the examples and the flow of the quick start."""
    folder = tmp_path / "session"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Blocks import the module that `stepflow codegen` generates.
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "flows", raising=False)
    shutil.copytree(ROOT / "examples", folder / "examples")
    for block in in_language("docs/quickstart.md", "yaml"):
        write_file(block, folder)
    return folder


def write_file(block: Block, folder: Path) -> None:
    if block.file_name is not None:
        (folder / block.file_name).write_text(block.text)


def matches(printed: str, expected: str) -> bool:
    """Compare Python literals by value, because servers do not keep the order of keys, and other text literally."""
    with contextlib.suppress(ValueError, SyntaxError):
        return bool(ast.literal_eval(printed) == ast.literal_eval(expected))
    return printed == expected


def sort_json_keys(printed: str) -> str:
    """Return JSON with sorted keys, because servers do not keep their order, and other text unchanged."""
    with contextlib.suppress(ValueError):
        return json.dumps(json.loads(printed), sort_keys=True, ensure_ascii=False)
    return printed


class Session:
    """Runs the blocks of a page in one session.

    Args:
        page: The page.
        folder: The working folder.
        url: The URL of the server.
    """

    def __init__(self, page: str, folder: Path, url: str) -> None:
        self._page = page
        self._folder = folder
        self._url = url
        # dataclasses and pydantic need `__name__`.
        self._namespace: dict[str, Any] = {"__name__": "documentation", "StepflowClient": StepflowClient}
        self._printed: list[str] = []
        self._variables = folder.with_name("variables")

    async def follow(self) -> int:
        """Run the blocks; return the number of blocks that were run."""
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
        # Pad the code so that line numbers in tracebacks match the page.
        padded = "\n" * (block.line - 1) + block.text.replace(WRITTEN_URL, self._url)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(padded, str(ROOT / self._page), "exec", flags=flags, dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                await eval(code, self._namespace)
            else:
                # Run the block in a thread without an event loop, because it may start one.
                await asyncio.to_thread(eval, code, self._namespace)
        self._printed.append(printed.getvalue())
        remaining = iter(printed.getvalue().splitlines())
        for line in expected_lines(block.text):
            message = f"{self._page}:{block.line}: {line!r} is not printed, but:\n{printed.getvalue()}"
            assert any(matches(each, line) for each in remaining), message

    async def _run_bash(self, block: Block) -> None:
        if not block.is_for_the_shell:
            return
        done = await self._in_shell(block.text)
        assert done.returncode == 0, f"{self._page}:{block.line}: exit code {done.returncode}\n{done.stderr}"
        self._printed.append(done.stdout)

    async def _run_console(self, block: Block) -> None:
        for shown in session(block):
            done = await self._in_shell(f"exec 2>&1; {shown.command}")
            message = f"{self._page}:{block.line}: $ {shown.command} prints:\n{done.stdout}"
            assert shown.is_printed(done.stdout.replace(self._url, WRITTEN_URL)), message

    async def _run_json(self, block: Block) -> None:
        shown = Shown("", sort_json_keys(block.text))
        printed = "\n".join(self._printed)
        message = f"{self._page}:{block.line}: this is not printed, but:\n{printed}"
        assert any(shown.is_printed(sort_json_keys(each)) for each in self._printed), message

    async def _run_toml(self, block: Block) -> None:
        if block.text.startswith(("flows =", "components =")):
            (self._folder / "stepflow.toml").write_text(block.text)
            assert find_project(self._folder).components is not None
            (self._folder / "stepflow.toml").unlink()
        elif block.text.startswith("[tool."):
            # This is part of a pyproject.toml.
            assert tomllib.loads(block.text)
        else:
            (self._folder / "config.toml").write_text(block.text)
            read = profiles.load_profiles(self._folder / "config.toml")
            assert read.current in read.tables
            for name in read.tables:
                read.get_profile(name)

    async def _in_shell(self, text: str) -> subprocess.CompletedProcess[str]:
        # Use this environment's `stepflow`, and no server except where the page names it.
        return await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euo", "pipefail", "-c", in_one_terminal(text.replace(WRITTEN_URL, self._url), self._variables)],
            env={**own_environment(), **fork_environment()},
            capture_output=True,
            text=True,
            timeout=60,
        )


def test_the_packages_are_installed_from_wheels(request: pytest.FixtureRequest) -> None:
    """With `--wheels`, the packages of this environment must come from wheels."""
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
def test_examples_on_the_server_in_stepflow_url(example: str, tmp_path: Path, server_url: str) -> None:
    assert run_example(example, tmp_path, STEPFLOW_URL=server_url) == GREETINGS[example]
