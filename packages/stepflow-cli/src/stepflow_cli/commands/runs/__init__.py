"""`stepflow runs`: a server's runs."""

from __future__ import annotations

from ...params.click_commands import LazyGroup

_COMMAND_SUMMARIES = {
    "list": "List runs, newest first.",
    "get": "Show a run's current state and why it failed.",
    "watch": "Show a run's steps live, or wait for several runs to end.",
    "events": "Stream a run's events until it ends.",
    "logs": "Print what the server and its workers logged during a run.",
    "items": "List a run's items in input order, with their outputs or errors.",
    "steps": "List a run's steps that started or could not run, by item and then in flow order.",
    "flow": "Print a run's flow, as YAML by default.",
    "result": "Wait for a run to end, and print its result.",
    "eval": "Evaluate an expression using a run's outputs.",
    "report": "Write a report on runs as a self-contained HTML page without scripts.",
    "diff": "Show where two runs differ, and exit with code 1 if they do.",
    "save": "Save a run as a test case for its flow.",
    "rerun": "Rerun a finished run, optionally keeping step outputs.",
    "cancel": "Mark runs as cancelled (released servers do not stop them).",
    "delete": "Ask the server to delete runs (released servers keep them).",
}

command = LazyGroup(
    "runs",
    summaries=_COMMAND_SUMMARIES,
    package=__name__,
    shared={
        **dict.fromkeys(("get", "flow", "items", "steps", "result", "eval"), "print_run_parts"),
        **dict.fromkeys(("watch", "events", "logs"), "watch_events_logs"),
        **dict.fromkeys(("rerun", "cancel", "delete"), "rerun_cancel_delete"),
        **dict.fromkeys(("save", "report"), "save_and_report"),
    },
)
"""The command group. Each module in this package contains one command or several related ones."""
