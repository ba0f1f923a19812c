"""The rule, level, path, message and hint of each finding, recorded in messages.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.found import find_in_text

HEAD = "name: f\ndescription: d\n"
CASES = Path(__file__).with_name("messages.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n")
"""Each entry is a flow, followed by one line per finding, prefixed with `> `."""


@pytest.mark.parametrize("text", CASES)
def test_findings_match_the_recorded_messages(text: str) -> None:
    lines = text.split("\n")
    flow = "".join(f"{line}\n" for line in lines if not line.startswith("> "))
    found = find_in_text(flow if flow.startswith(("name:", "-", "x:")) else HEAD + flow, "f.yaml")
    messages = [f"{each.rule} {each.level} {each.path}: {each.message}" for each in found]
    hints = [f"; {each.hint}" if each.hint else "" for each in found]
    assert [f"> {message}{hint}" for message, hint in zip(messages, hints, strict=True)] == [
        line for line in lines if line.startswith("> ")
    ]
