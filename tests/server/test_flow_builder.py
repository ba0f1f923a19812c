"""Flows and configurations built with Stepflow's own library work with the client and the runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stepflow_client import StepflowRuntime

from tests import releases, workers

FLOW = """
import sys
from stepflow_client import InvalidArgumentError, SyncStepflowClient
from stepflow_py.worker import FlowBuilder, Value

builder = FlowBuilder(name="built")
builder.set_variables_schema({"type": "object", "properties": {"tone": {"type": "string", "default": "kindly"}}})
asked = builder.add_step(
    id="ask",
    component="/builtin/create_messages",
    input_data={"user_prompt": Value.input("question"), "system_instructions": Value.variable("tone")},
)
with SyncStepflowClient(sys.argv[1]) as client:
    try:
        client.run(builder, {"question": "Why?"})
    except InvalidArgumentError as error:
        assert "FlowBuilder built no flow: Flow output must be set" in error.message, error.message
    builder.set_output({"messages": Value.step("ask", "messages"), "nothing": None})
    for flow in (builder.build(), builder):
        assert client.validate(flow).is_valid
        output = client.run(flow, {"question": "Why?"}).raise_for_failure().output
        assert output["nothing"] is None
        print([message["content"] for message in output["messages"]])
        stored = client.store_flow(flow)
        assert client.get_flow(stored.flow_id).flow["name"] == "built"
    # Changing the builder makes it another flow.
    builder.set_output(Value.input("question"))
    print(client.run(builder, {"question": "Why?"}).output)
"""

CONFIG = """
import sys
from stepflow_client import StepflowRuntime
from stepflow_py.config import BuiltinPluginConfig, RouteRule, StepflowConfig

class Builder:
    def build(self):
        return config

config = StepflowConfig(plugins={"builtin": BuiltinPluginConfig()}, routes={sys.argv[1]: [RouteRule(plugin="builtin")]})
flow = {
    "steps": [{"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": "Why?"}}],
    "output": {"$step": "a"},
}
for each in (config, Builder()):
    with StepflowRuntime.start(config=each) as runtime:
        print(runtime.sync_client.run(flow).unwrap()["messages"][0]["content"], sorted(runtime.config))
"""


def run(program: str, release: str, folder: Path, argument: str) -> str:
    """Run a program with a release's library and return its output."""
    (library,) = workers.python(release).parent.parent.glob("lib/python*/site-packages")
    path = folder / "program.py"
    path.write_text(program)
    binary = {"STEPFLOW_SERVER_BINARY": str(releases.binary(release))}
    done = subprocess.run(
        [sys.executable, str(path), argument],
        env={**os.environ, "PYTHONPATH": str(library), **binary},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_builder_and_its_flow(runtime: StepflowRuntime, tmp_path: Path) -> None:
    assert run(FLOW, releases.NEWEST, tmp_path, runtime.url) == "['kindly', 'Why?']\n" * 2 + "Why?\n"


def test_a_configuration_object(release: str, tmp_path: Path) -> None:
    route = "/builtin" if releases.number(release) >= (0, 13) else "/builtin/{*component}"
    assert run(CONFIG, release, tmp_path, route) == "Why? ['plugins', 'routes']\n" * 2
