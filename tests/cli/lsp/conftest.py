"""An editor with the real server, shared by the tests of a module because starting it takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Stepflow
from tests.cli.lsp.client import Editor, started
from tests.cli.lsp.flows import FLOWS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with all flows of `lsp/flows.py`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".git").mkdir()
    for name, text in FLOWS.items():
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.fixture(scope="module")
def command(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Stepflow:
    """The command, run in the project folder."""
    return Stepflow(folder, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def editor(folder: Path, command: Stepflow) -> Iterator[Editor]:
    """An editor with all flows open."""
    with started(folder, command.environment) as editor:
        for name, text in FLOWS.items():
            editor.open(name, text)
        yield editor


@pytest.fixture(autouse=True)
def restore_texts(editor: Editor) -> Iterator[None]:
    """Undo a test's edits."""
    yield
    for name, text in FLOWS.items():
        if editor.texts[editor.uri(name)] != text:
            editor.replace(name, text)
            # Completions may still use the previous text: wait until the server has analyzed the restored one.
            editor.request_for("documentSymbol", name)
