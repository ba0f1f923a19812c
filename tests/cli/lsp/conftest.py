"""An editor with the real server, for all tests of a module: starting it takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Stepflow
from tests.cli.lsp.client import Editor, started
from tests.cli.lsp.flows import FLOWS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the ten flows."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".git").mkdir()
    for name, text in FLOWS.items():
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.fixture(scope="module")
def command(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Stepflow:
    """The command in the folder of the project."""
    return Stepflow(folder, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def editor(folder: Path, command: Stepflow) -> Iterator[Editor]:
    """An editor in which all flows are open."""
    with started(folder, command.environment) as editor:
        for name, text in FLOWS.items():
            editor.open(name, text)
        yield editor


@pytest.fixture(autouse=True)
def as_written(editor: Editor) -> Iterator[None]:
    """Undo what a test has typed."""
    yield
    for name, text in FLOWS.items():
        if editor.texts[editor.uri(name)] != text:
            editor.replace(name, text)
            # Completions may be those of the text before; this waits until the flow as it is written is known.
            editor.about("documentSymbol", name)
