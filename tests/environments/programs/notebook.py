"""Runs a notebook in a Jupyter kernel with nbclient, like `jupyter execute`, and prints the outputs of its cells."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

CELLS = [
    """
from stepflow_client import StepflowClient, StepflowRuntime, SyncStepflowClient

flow = {"steps": [], "output": {"$input": "$"}}
runtime = StepflowRuntime.start()
await runtime.await_ready()
""",
    # The kernel runs each cell in an event loop, where the blocking client works as well.
    """
import asyncio

assert asyncio.get_running_loop().is_running()
stepflow = SyncStepflowClient(runtime.url)
stepflow.run(flow, "blocking").output
""",
    # A client that several cells use.
    """
client = StepflowClient(runtime.url)
(await client.run(flow, "awaited")).output
""",
    """
run_id = await client.submit(flow, "events")
[event.type async for event in client.run_events(run_id)][-1]
""",
    """
results = await asyncio.gather(*(client.run(flow, n) for n in range(5)))
[result.output for result in results]
""",
    """
import threading

def in_a_thread():
    print(asyncio.run(client_of_thread.run(flow, "another loop")).output)

client_of_thread = StepflowClient(runtime.url)
thread = threading.Thread(target=in_a_thread)
thread.start()
thread.join()
""",
    """
with StepflowRuntime.start() as other:
    print(other.sync_client.run(flow, "a second server").output)
""",
    """
stepflow.close()
await client.aclose()
await runtime.aclose()
runtime
""",
]


def format_output(output: nbformat.NotebookNode) -> str:
    """Return an output as text, with a prefix for standard error."""
    if output.output_type == "stream":
        return f"{output.name}: {output.text}" if output.name != "stdout" else output.text.strip()
    return str(output.get("data", output)["text/plain"])


def main() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    # Use files instead of ports, because the kernel warns about TCP.
    config = Config({"ConnectionFileMixin": {"transport": "ipc"}})
    NotebookClient(notebook, timeout=60, kernel_name="python3", config=config).execute()
    for cell in notebook.cells:
        for output in cell.outputs:
            print(format_output(output))


if __name__ == "__main__":
    main()
