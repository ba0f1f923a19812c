"""Findings have the rules, levels, paths, messages and hints recorded in messages.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.findings import find_in_text

HEAD = "name: f\ndescription: d\n"
CASES = Path(__file__).with_name("messages.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n")
"""Each entry is a flow, followed by one line per finding, prefixed with `> `."""


@pytest.mark.parametrize("text", CASES)
def test_findings_match_the_recorded_messages(text: str) -> None:
    lines = text.split("\n")
    flow = "".join(f"{line}\n" for line in lines if not line.startswith("> "))
    findings = find_in_text(flow if flow.startswith(("name:", "-", "x:")) else HEAD + flow, "f.yaml")
    messages = [f"{each.rule} {each.level} {each.path}: {each.message}" for each in findings]
    hints = [f"; {each.hint}" if each.hint else "" for each in findings]
    assert [f"> {message}{hint}" for message, hint in zip(messages, hints, strict=True)] == [
        line for line in lines if line.startswith("> ")
    ]
