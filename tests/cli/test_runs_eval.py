"""`stepflow runs eval` evaluates expressions with the outputs of a run."""

from __future__ import annotations

import json

import pytest
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases
from tests.cli.command import Stepflow
from tests.cli.golden import Golden

pytestmark = pytest.mark.in_process

_FLOW = """\
name: evaluated
schemas:
  properties:
    variables: {properties: {tone: {type: string, default: kind}}}
steps:
- {id: ask, component: /builtin/create_messages, input: {user_prompt: {$input: $.name}}}
- {id: bad, component: /builtin/get_blob, input: {blob_id: none}, onError: {action: fail}}
- {id: after, component: /builtin/noop, input: {$step: bad}}
output: [{$step: ask}, {$coalesce: [{$if: {$input: $.fails}, then: {$step: after}}, 1]}]
"""


@pytest.fixture
def evaluated(stepflow: Stepflow, server: str) -> Stepflow:
    """The command, after a run of the flow above."""
    (stepflow.folder / "evaluated.yaml").write_text(_FLOW)
    done = stepflow("run", "evaluated.yaml", "--input-json", '{"name": "Ada", "fails": false}', "--var", "tone=dry")
    assert done.code == 0, done
    return stepflow


def test_values(evaluated: Stepflow, golden: Golden) -> None:
    golden(
        evaluated("runs", "eval", "@last", "{$step: ask, path: '$.messages[0].content'}"),
        evaluated("runs", "eval", "@last", "{all: [{$input: $.name}, {$variable: tone}, {$literal: {$step: x}}, 2]}"),
        evaluated("runs", "eval", "@last", "{$if: {$input: $.fails}, then: 1, else: {$step: ask, path: $.messages}}",
                  "-o", "json"),
        evaluated("runs", "eval", "@last", "{$step: ask, path: $.nothing}"),
        evaluated("runs", "eval", "@last", "{$step: aks}"),
        evaluated("runs", "eval", "@last", "{$step: after}"),
        evaluated("runs", "eval", "@last", "$.name"),
        evaluated("runs", "eval", "@last", "{$step: ask, path: '$.['}"),
        evaluated("runs", "eval", "@last", "{$step: [}"),
        evaluated("runs", "eval", "@last", "{$input: $}", "--item", "1"),
    )  # fmt: skip


def test_items_of_a_batch(evaluated: Stepflow) -> None:
    (evaluated.folder / "names.jsonl").write_text('{"name": "Bo", "fails": false}\n{"name": "Cy", "fails": false}\n')
    assert evaluated("batch", "evaluated.yaml", "names.jsonl").code == 0
    done = evaluated(
        "runs", "eval", "@last", "[{$input: $.name}, {$step: ask, path: '$.messages[0].content'}]", "--item", "1"
    )
    assert json.loads(done.stdout) == ["Cy", "Cy"]
    assert json.loads(evaluated("runs", "eval", "@2", "{$input: $.name}").stdout) == "Ada"


def test_failed_step(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "evaluated.yaml").write_text(_FLOW)
    assert stepflow("run", "evaluated.yaml", "--input-json", '{"name": "Ada", "fails": true}', "--no-check").code == 1
    done = stepflow("runs", "eval", "@last", "{$step: bad, path: $.data}")
    assert (done.code, done.stdout) == (1, "")
    assert "stepflow: the expression fails: " in done.stderr
    assert json.loads(stepflow("runs", "eval", "@last", "{$step: ask}").stdout)["messages"][0]["content"] == "Ada"


def test_steps_kept_by_a_rerun(evaluated: Stepflow) -> None:
    (evaluated.folder / "changed.yaml").write_text(_FLOW.replace(", 1]}]", ", 2]}, {$step: last}]").replace(
        "output:", "- {id: last, component: /builtin/noop, input: {$step: ask}}\noutput:"
    ))  # fmt: skip
    done = evaluated("runs", "rerun", "@last", "--only-missing", "--flow", "changed.yaml")
    assert (done.code, "keeps ask" in done.stderr) == (0, True), done
    done = evaluated(
        "runs", "eval", "@last", "[{$step: ask, path: '$.messages[0].content'}, {$step: last, path: $.messages}]"
    )
    assert json.loads(done.stdout) == ["Ada", [{"role": "user", "content": "Ada"}]]


def test_unrecorded_run(stepflow: Stepflow, server: str, newest_server: StepflowRuntime) -> None:
    run_id = newest_server.sync_client.submit({"output": {"$input": "$"}}, {"a": 1})
    newest_server.sync_client.wait_run(run_id, timeout=60)
    done = stepflow("runs", "eval", run_id, "{$input: $.a}")
    assert (done.code, "the value depends on the input, which is unknown" in done.stderr) == (1, True), done


def test_older_server(stepflow: Stepflow) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary("0.11.1")))
        started = StepflowRuntime.start(config=releases.builtin_config("0.11.1"), log_config=LogConfig(level="error"))
    with started as server:
        done = stepflow("runs", "eval", "0197aaaa-0000-7000-8000-000000000000", "1", "--url", server.url)
    assert (done.code, "the outputs of steps: not supported by this server (0.11.1)" in done.stderr) == (1, True)
