"""`stepflow runs`: a server's runs."""

from __future__ import annotations

from ...params.parsing import LazyGroup

_COMMANDS = {
    "list": "List runs, newest first.",
    "get": "Show the current state of a run, and why it failed.",
    "watch": "Show the steps of a run live, or wait for several to end.",
    "events": "Stream the events of a run until it ends.",
    "logs": "Print what the server and its workers logged during a run.",
    "items": "List the items of a run in input order, with their output or why they failed.",
    "steps": "List the started steps of a run, by item, then in flow order.",
    "flow": "Print the flow of a run, as YAML by default.",
    "result": "Print the result of a run, waiting for it to end.",
    "eval": "Evaluate an expression with the outputs of a run.",
    "report": "Write a report of runs as a self-contained HTML page without scripts.",
    "diff": "Show where two runs differ; the exit code is 1 if they do.",
    "save": "Save a run as a test case of its flow.",
    "rerun": "Rerun a finished run, keeping step outputs.",
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
