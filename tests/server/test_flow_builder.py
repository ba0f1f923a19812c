"""A flow of Stepflow's own builder is taken as it is; its library stands in the environment of the worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stepflow_client import StepflowRuntime

from tests import releases, workers

PROGRAM = """
import sys
from stepflow_client import SyncStepflowClient
from stepflow_py.worker import FlowBuilder, Value

builder = FlowBuilder(name="built")
builder.set_variables_schema({"type": "object", "properties": {"tone": {"type": "string", "default": "kindly"}}})
asked = builder.add_step(
    id="ask",
    component="/builtin/create_messages",
    input_data={"user_prompt": Value.input("question"), "system_instructions": Value.variable("tone")},
)
builder.set_output({"messages": Value.step("ask", "messages"), "nothing": None})
flow = builder.build()
with SyncStepflowClient(sys.argv[1]) as client:
    assert client.validate(flow).is_valid
    output = client.run(flow, {"question": "Why?"}).raise_for_failure().output
    assert output["nothing"] is None
    print([message["content"] for message in output["messages"]])
    stored = client.store_flow(flow)
    assert client.get_flow(stored.flow_id).flow["name"] == "built"
"""


def test_a_flow_of_the_builder(runtime: StepflowRuntime, tmp_path: Path) -> None:
    (library,) = workers.python(releases.NEWEST).parent.parent.glob("lib/python*/site-packages")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), runtime.url],
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "['kindly', 'Why?']\n"), done.stderr
