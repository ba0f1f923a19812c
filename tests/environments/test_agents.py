"""Agents built with the OpenAI and Anthropic packages or fastmcp call flows as tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases
from tests.environments.conftest import environment

pytestmark = [pytest.mark.environments, pytest.mark.timeout(240)]
FLOW = {
    "name": "greet",
    "description": "Greets somebody.",
    "schemas": {
        "properties": {
            "input": {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]},
        }
    },
    "steps": [],
    "output": {"text": {"$input": "$.who"}},
}
PACKAGES = ("openai~=3.57", "anthropic~=2.14", "fastmcp~=4.2")


def test_agents_call_flows(run_program: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = environment("agents", *PACKAGES)
    (tmp_path / "greet.json").write_text(json.dumps(FLOW))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    config = releases.builtin_config(releases.NEWEST)
    with StepflowRuntime.start(config=config, log_config=LogConfig(level="warn")) as server:
        command = [str(Path(sys.executable).with_name("stepflow")), "mcp", "serve", "greet.json", "--url", server.url]
        monkeypatch.setenv("AGENT_COMMAND", json.dumps(command))
        monkeypatch.setenv("AGENT_SERVER", server.url)
        assert run_program(python, "agents.py").splitlines() == [
            'openai: {"text": "Ada"}',
            'anthropic: {"text": "Bob"}',
            "fastmcp: greet",
            "fastmcp: {'text': 'Eve'}",
            "fastmcp: True - wo: unknown field 'wo'; did you mean 'who'?",
        ]
