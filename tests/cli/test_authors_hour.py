"""A typical session of a flow author: create, edit, watch, break, fix and try a flow, and keep a run as a test."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.test_watch import Watching, replace, watching

__all__ = ["watching"]

_ADA = ("--input-json", '{"name": "Ada"}')
_SECOND = """\
  - id: answer
    component: /builtin/create_messages
    input:
      system_instructions: Answer the greeting.
      user_prompt: {$step: greeting, path: '$.messages[1].content'}
output: {$step: answer, path: $.messages}
"""


@pytest.mark.exhaustive
def test_typical_session_of_a_flow_author(stepflow: Stepflow, server: str, watching: Callable[..., Watching]) -> None:
    file = stepflow.folder / "greeting.yaml"
    assert stepflow("new", "greeting").code == 0
    assert "1 passed" in stepflow("test", "greeting.yaml").stdout

    # Edit, and watch only the steps changed by an edit.
    text = file.read_text()
    output = next(line for line in text.splitlines(keepends=True) if line.startswith("output:"))
    two = text.replace(output, _SECOND)
    watch = watching("run", "greeting.yaml", *_ADA, "--reuse", "@last")
    assert "no earlier run of the flow" in watch.round()
    replace(file, two)
    edited = watch.round()
    assert "keeps greeting; executes answer" in edited
    assert '+    "content": "Answer the greeting.",' in edited

    # An error fails only the current round; the quick fix corrects it.
    replace(file, two.replace("user_prompt: {$step:", "user_prompt: {$steps:"))
    assert "unknown-keyword" in watch.round()
    fixed = stepflow("validate", "greeting.yaml", "--offline", "--fix")
    assert (fixed.code, "1 correction" in fixed.stderr) == (0, True), fixed
    assert file.read_text() == two
    assert "keeps greeting, answer; executes no step" in watch.round()
    assert watch.interrupt() == 0

    # Run one step: with its input from the last run, and with its own input.
    alone = stepflow("run", "greeting.yaml", "--step", "answer", "--set", "answer.input.system_instructions=Shout.")
    assert json.loads(alone.stdout)["messages"][0]["content"] == "Shout.", alone
    own = stepflow("run", "greeting.yaml", "--step", "answer", "--input-json", '{"user_prompt": "Hi"}')
    assert json.loads(own.stdout) == {"messages": [{"role": "user", "content": "Hi"}]}, own
    value = stepflow("runs", "eval", "@last", "{$step: call, path: '$.x'}")
    assert "the run's flow has no step call" in value.stderr

    # Keep the run as a test, and check the coverage of the tests.
    failing = stepflow("test", "greeting.yaml")
    assert (failing.code, "1 failed" in failing.stdout + failing.stderr) == (1, True), failing
    run_id = stepflow("run", "greeting.yaml", "--input-json", '{"name": "Bob"}', "-o", "name").stdout.strip()
    saved = stepflow("runs", "save", run_id, "--as", "bob", "greeting.yaml")
    assert saved.code == 0, saved
    passed = stepflow("test", "greeting.yaml", "--case", "bob", "--coverage")
    assert (passed.code, "2 of 2 steps reached" in passed.stdout + passed.stderr) == (0, True), passed
