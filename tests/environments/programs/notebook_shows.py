"""Runs a notebook that shows progress and errors and prints the outputs of its cells; then tests tqdm on a terminal."""

from __future__ import annotations

import io
import re
import sys

import nbformat
from nbclient import NotebookClient
from stepflow_client.testing import fake_server
from traitlets.config import Config

CELLS = [
    """
from stepflow_client import StepflowClient, SyncStepflowClient
from stepflow_client.testing import fake_server

flow = {"steps": [], "output": {"$input": "$"}}
client = fake_server().sync_client()

def look(run_id):
    return client.get_run(run_id)
""",
    "run_id = client.run(flow, 1, progress=True).run_id",
    "outcomes = list(client.map(flow, range(3), progress=True))",
    "run = client.wait_run(run_id, progress=True)",
    "look('no-id')",
    "%tb",
    "%xmode Plain",
    "look('no-id')",
    "%xmode Context",
    """
async def health():
    async with StepflowClient('http://127.0.0.1:9') as other:
        await other.health_check()

await health()
""",
]
ESCAPES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


def format_output(output: nbformat.NotebookNode) -> str:
    """Return an output as text, with long errors cut to their first word."""
    if output.output_type == "error":
        lines = ESCAPES.sub("", "\n".join(output.traceback)).splitlines()
        return "\n".join(lines) if len(lines) <= 12 else f"{lines[-1].split(':')[0]}: more than 12 lines"
    if output.output_type == "stream":
        return f"{output.name}: {output.text.strip()}"
    text = output.data["text/plain"]
    assert "<progress" in output.data["text/html"]
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}|\d+(?:\.\d)?(?:ms|s)\b|<1s", "#", text)


def execute() -> None:
    """Run the notebook and print its outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    # Use files instead of ports, because the kernel warns about TCP.
    config = Config({"ConnectionFileMixin": {"transport": "ipc"}})
    NotebookClient(notebook, timeout=60, kernel_name="python3", config=config, allow_errors=True).execute()
    for cell in notebook.cells:
        for output in cell.outputs:
            print(format_output(output))


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return true."""
        return True


def main() -> None:
    """Run both."""
    execute()
    stream, sys.stderr = sys.stderr, Terminal()
    with fake_server().sync_client() as client:
        list(client.map({"steps": [], "output": 1}, range(3), progress=True))
    terminal, sys.stderr = sys.stderr, stream
    assert "|" in terminal.getvalue()
    print("completed: 3/3 done" in terminal.getvalue())


if __name__ == "__main__":
    main()
