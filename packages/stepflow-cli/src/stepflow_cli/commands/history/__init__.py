"""`stepflow history`: the runs that this user has started on this machine."""

from __future__ import annotations

from ...params.parsing import LazyGroup

__all__ = ["command"]

_COMMANDS = {
    "list": "List the recorded runs, newest first.",
    "show": "Show a recorded run: its input, variables, overrides and flow.",
    "search": "List the recorded runs that contain a text, newest first.",
    "clear": "Remove recorded runs from this machine.",
}

command = LazyGroup(
    "history",
    commands_of=_COMMANDS,
    package=__name__,
    aliases={"delete": "clear", "get": "show"},
    help="""List and search the runs that were started from this machine.

    Servers from 0.12 on do not return the input, variables or overrides of a run. 'run', 'submit' and 'runs rerun'
    therefore record them on this machine, in a file that only its owner can read: history.db in the user's state
    folder. Values of secret variables are not recorded, nor are the inputs of batches with --output, of which the first
    run stands for all. 10,000 runs are kept, for 90 days.

    'stepflow config set history off' or STEPFLOW_HISTORY=off turns recording off. If a run cannot be recorded, that is
    a warning, not an error. Wherever a run id is expected, @last is the newest recorded run of the server, @2 the one
    before. If that is a batch with --output of several runs, the command refuses it.
    """,
)
"""The group. Each of its commands is a module of this package."""
