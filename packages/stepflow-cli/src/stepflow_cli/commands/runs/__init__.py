"""`stepflow runs`: a server's runs."""

from __future__ import annotations

from ...params.parsing import LazyGroup

_COMMANDS = {
    "list": "List runs, newest first.",
    "get": "Show the current state of a run, and why it failed.",
    "watch": "Show the steps of a run live, or wait for several to end.",
    "events": "Stream the events of a run until it ends.",
    "logs": "Print what the server and its workers wrote while a run was executed.",
    "items": "List the items of a run, in the order of their inputs: their output, or why they failed.",
    "steps": "List the steps of a run that were started, by item, then in the order of the flow.",
    "flow": "Print the flow of a run, as YAML by default.",
    "result": "Print the result of a run, waiting for it to end.",
    "eval": "Evaluate an expression with the outputs of a run.",
    "report": "Write a report of runs: one HTML page that loads nothing and has no scripts.",
    "diff": "Show where two runs differ; the exit code is 1 if they do.",
    "save": "Save a run as a test case of its flow.",
    "rerun": "Run a finished run again, keeping outputs of its steps.",
    "cancel": "Mark runs as cancelled; released servers do not stop them.",
    "delete": "Request the deletion of runs; released servers keep them.",
}

command = LazyGroup(
    "runs",
    summaries=_COMMANDS,
    package=__name__,
    shared={
        **dict.fromkeys(("get", "flow", "items", "steps", "result", "eval"), "show"),
        **dict.fromkeys(("events", "logs"), "watch"),
        **dict.fromkeys(("cancel", "delete"), "rerun"),
        "report": "save",
    },
)
"""The group. Its commands are modules in this package."""
