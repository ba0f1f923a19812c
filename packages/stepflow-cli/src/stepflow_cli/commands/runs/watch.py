"""`stepflow runs watch`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from ...errors import printable
from ...output.color import is_terminal
from ...output.messages import reported_by, waiting
from ...output.view import Output, View
from ...params.options import output_options, server_options, wait_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...records.runs import EVENT, RUN_IN_FULL, event_record, run_record
from ...runs.find import whole_id
from ...runs.wait import Wait, hinting_return, with_views
from ...server.connect import connect
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from rich.tree import Tree
    from stepflow_client.events import RunEvent

    from ...runs.watch import Watch

_QUIET = ("run_created", "steps_needed", "step_ready")
"""Events of objects that do not have a status."""


@click.command("watch", cls=Command)
@run_argument
@wait_options
@server_options(default="server")
@output_options
def command(run_id: str, wait: Wait, server: ServerOptions, output: Output) -> None:
    """It prints a tree on a terminal, elsewhere a line for each change. With -o jsonl it prints the events, with -o
    json and yaml the run when it has ended. The exit code is that of the run: 0 completed, 1 failed, 6 cancelled.

    Ctrl-C ends the watching, not the run, and prints the command to watch it again. A cancelled run counts as ended,
    although servers continue it. Steps are not shown if the server has no events.
    """
    from ...runs.watch import Watch, failure_of

    with connect(server) as target, ExitStack() as stack:
        run_id = whole_id(target.client, run_id)
        stack.enter_context(hinting_return(target, run_id, wait))
        watch = Watch(target, run_id)
        if output.format == "jsonl":
            _events(watch, wait, output)
        elif output.format in ("json", "yaml", "name") or output.fields:
            _end(watch, wait, output)
        elif is_terminal(sys.stdout):
            _tree(watch, wait)
        else:
            _lines(watch, wait, output)
        problem = failure_of(target, watch.run)
    if problem is not None:
        raise with_views(problem, target, run_id)


def _nothing(*_: Any) -> None:
    return


def _events(watch: Watch, wait: Wait, output: Output) -> None:
    def show(event: RunEvent, seconds: float | None, error: str | None) -> None:
        output.records([event_record(event)], EVENT, flush=True)

    watch.follow(show, _nothing, timeout=wait.timeout)


def _end(watch: Watch, wait: Wait, output: Output) -> None:
    with waiting(f"watching run {watch.run.run_id}"):
        watch.follow(_nothing, _nothing, timeout=wait.timeout)
    steps = [
        {
            "step_id": step.step_id,
            "status": step.status(watch.progress.total, True),
            "completed": step.count("completed"),
            "failed": step.failed,
            "not_run": len(step.not_run),
            "state": "not_run" if step.because_of else step.status(watch.progress.total, True),
            "because_of": step.because_of,
            "is_kept": step.kept,
            "error": step.error,
        }
        for step in watch.progress.steps
    ]
    view = View(RUN_IN_FULL.columns, RUN_IN_FULL.name, (*RUN_IN_FULL.fields, "steps"))
    output.record(run_record(watch.run) | {"steps": steps}, view)


def _lines(watch: Watch, wait: Wait, output: Output) -> None:
    from ...runs.events import words_for

    def show(event: RunEvent, seconds: float | None, error: str | None) -> None:
        if event.type not in _QUIET or (event.type == "run_created" and event.run_id == watch.run.run_id):
            line = words_for(event, watch.progress, seconds, error)
            output.write_all([f"{printable(line)}\n"], flush=True)

    watch.follow(show, _nothing, timeout=wait.timeout, sub_runs=True)


def _tree(watch: Watch, wait: Wait) -> None:
    from ...output.live import live_picture
    from ...runs.tree import tree_of

    def draw(height: int | None) -> Tree:
        return tree_of(watch.progress, watch.now, watch.note, height=height)

    with live_picture(draw) as refresh, reported_by(watch.say):
        watch.follow(_nothing, refresh, timeout=wait.timeout, sub_runs=True)
