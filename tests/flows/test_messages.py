"""What each finding says: its rule, level, path, message and hint, for flows with one mistake after another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.found import find_in_text

HEAD = "name: f\ndescription: d\n"
MESSAGES = Path(__file__).with_name("messages.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n")
"""Each is a flow, and a line that starts with `> ` for each of its findings."""


@pytest.mark.parametrize("text", MESSAGES)
def test_the_findings_of_a_flow_say(text: str) -> None:
    lines = text.split("\n")
    flow = "".join(f"{line}\n" for line in lines if not line.startswith("> "))
    found = find_in_text(flow if flow.startswith(("name:", "-", "x:")) else HEAD + flow, "f.yaml")
    told = [f"{each.rule} {each.level} {each.path}: {each.message}" for each in found]
    hints = [f"; {each.hint}" if each.hint else "" for each in found]
    assert [f"> {message}{hint}" for message, hint in zip(told, hints, strict=True)] == [
        line for line in lines if line.startswith("> ")
    ]
