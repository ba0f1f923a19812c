"""Neovim and Emacs use the language server with the settings of docs/guides/editors.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/guides/editors.md"
FLOW = """\
name: greet
description: Greets.
steps:
  - id: ask
    component: /builtin/create_messages
    input: {user_prompt: {$input: $.question}}
  - id: keep
    component: /builtin/put_blob
    input: {data: {$step: ask, path: $.messages}, blob_typ: data}
output: {$step: keep}
"""


def settings(editor: str) -> str:
    """Return the settings for an editor from the page."""
    match = re.search(rf"^## {editor}\n.*?^```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "flow.yaml").write_text(FLOW)
    return tmp_path


def run_editor(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_neovim(folder: Path) -> None:
    (folder / "init.lua").write_text(settings("Neovim"))
    printed = run_editor(folder, "nvim", "--headless", "-u", "init.lua", "-l", str(HERE / "use.lua"))
    results = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    assert results["diagnostics"] == ["component-input"]
    assert "read by `keep`" in results["hover"]
    assert results["definition"] == [7, 8]
    assert results["renamed"] == ["  - id: stored", "output: {$step: stored}"]
    assert results["fixed"].endswith("blob_type: data}")
    assert results["left"] == 0
    assert results["completed"] == ["$.blob_id"]


def test_emacs(folder: Path) -> None:
    (folder / "settings.el").write_text(settings("Emacs"))
    printed = run_editor(folder, "emacs", "-Q", "--batch", "-l", str(HERE / "use.el")).splitlines()
    assert any(line.startswith("diagnostic ") and "blob_typ" in line for line in printed)
    assert "definition   - id: keep" in printed
    assert "renamed output: {$step: stored}" in printed
    assert "completed $.blob_id" in printed
