"""An application built on stepflow-api alone: store a flow, run it, follow its events and read the result."""

import os

from stepflow_api import Client
from stepflow_api.api.flow import store_flow
from stepflow_api.api.run import create_run, get_run_events, get_run_items

GREET = {"id": "greet", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "name"}}}
FLOW = {"name": "hello", "steps": [GREET], "output": {"$step": "greet", "path": "$.messages[0].content"}}


def greet(client: Client, name: str) -> object:
    """Run FLOW and return its output."""
    stored = store_flow.sync_detailed(client=client, body={"flow": FLOW}).unwrap()
    run = create_run.sync_detailed(client=client, body={"flowId": stored.flow_id, "input": [{"name": name}]}).unwrap()
    for event in get_run_events.sync(run.summary.run_id, client=client):
        if event.event.step_completed:
            print("completed:", event.event.step_completed.step_id)
    return get_run_items.sync_detailed(run.summary.run_id, client=client).unwrap().results[0].output


if __name__ == "__main__":
    with Client(os.environ["STEPFLOW_URL"] + "/api/v1") as client:
        print(greet(client, "World"))
