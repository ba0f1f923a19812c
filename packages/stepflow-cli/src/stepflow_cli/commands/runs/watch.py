"""`stepflow runs watch`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ...errors import current_session, usage
from ...output.messages import outages_reported_by, waiting
from ...output.terminal import is_terminal, printable
from ...output.view import Output
from ...params.options import Wait, output_options, running_server_options, wait_options
from ...params.parsing import Command
from ...params.runs import runs_argument
from ...records.runs import EVENT, build_event_record, get_run_view
from ...runs.failures import explain_run
from ...runs.find import connect_to_runs
from ...runs.wait import add_view_commands, hinting_return
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client.events import RunEvent

    from ...runs.watch import RunWatch

# Events without a status, which are not shown as lines.
_QUIET = ("run_created", "steps_needed", "step_ready")


@click.command("watch", cls=Command)
@runs_argument
@wait_options
@running_server_options
@output_options
def command(ids: list[str], wait: Wait, server: ServerOptions, output: Output) -> None:
    """Prints a tree on a terminal, and a line for each change elsewhere. With -o jsonl it prints the events, with -o
    json and yaml the run when it has ended. With -q it only prints how runs ended, and takes several; RUN may then be -
    for ids on standard input, one per line.

    The exit code is 0 if all runs completed. Otherwise it is 5 if one did not end in time, else 1 if one failed, else 6
    if one was cancelled. Ctrl-C stops watching, not the run, and prints the command to watch it again. A cancelled run
    counts as ended, although servers continue it. Steps are not shown if the server has no events.
    """
    quiet = current_session().quiet
    if len(ids) > 1 and not quiet:
        raise usage("only one run can be watched at once", "-q prints only how runs ended, and takes several")
    if len(ids) > 1 and wait.on_interrupt == "cancel":
        raise usage("--on-interrupt cancel takes one run")
    with connect_to_runs(server, ids) as (target, ids):
        if quiet or not ids:
            from ...runs.wait import wait_and_print

            wait_and_print(target, ids, wait, output)
            return
        from ...runs.watch import RunWatch, find_failure

        run_id = ids[0]
        with hinting_return(target, run_id, wait):
            watch = RunWatch(target, run_id, wait.timeout)
            if output.format == "jsonl":
                watch.follow(lambda event, *_: output.records([build_event_record(event)], EVENT, flush=True))
            elif output.format in ("json", "yaml", "name") or output.fields:
                with waiting(f"watching run {run_id}"):
                    watch.follow()
                run = explain_run(target.client, run_id)
                output.record(run.to_dict(), get_run_view(run.account))
            elif is_terminal(sys.stdout):
                from ...output.live import live_display

                with live_display(watch.tree) as refresh, outages_reported_by(watch.show_message):
                    watch.follow(refresh=refresh, sub_runs=True)
            else:
                _print_lines(watch, output)
            problem = find_failure(target, watch.run)
        if problem is not None:
            add_view_commands(problem, target, run_id)
            raise problem


def _print_lines(watch: RunWatch, output: Output) -> None:
    from ...runs.watch import describe_event

    def show(event: RunEvent, seconds: float | None, error: str | None) -> None:
        if event.type not in _QUIET or (event.type == "run_created" and event.run_id == watch.run.run_id):
            line = describe_event(event, watch.progress, seconds, error)
            output.write_all([f"{printable(line)}\n"], flush=True)

    watch.follow(show, sub_runs=True)
    if watch.run.failed_in_sub_runs:
        output.write_all([f"{watch.run.text}\n"])
