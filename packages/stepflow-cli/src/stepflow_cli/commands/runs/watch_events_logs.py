"""`stepflow runs watch`, `events` and `logs`: follow a run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import click
from stepflow_client import StepflowClientError, TransportError

from ...errors import Problem, convert_to_problem, current_session, interrupted_problem, usage
from ...output.colors_and_escaping import escape, is_terminal
from ...output.messages import note, redirecting_outage_messages, show_spinner
from ...output.printing import Output
from ...output.record_views import View, columns
from ...output.tables import format_log_line_time
from ...params.click_commands import Command
from ...params.options import (
    SECONDS,
    Choice,
    WaitOptions,
    group_options,
    limit_option,
    option,
    output_options,
    running_server_options,
    wait_options,
)
from ...params.runs import recorded_run_argument, run_argument, runs_argument
from ...records.runs import EVENT, build_event_record, get_single_run_view
from ...runs.explain_failures import read_explained_run
from ...runs.find_runs import connect_to_run, connect_to_runs, find_history_run_by_position, is_complete_run_id
from ...runs.process_several_runs import add_view_commands_hint, hinting_return
from ...server.connect import Target
from ...server.server_log_files import KEPT_LEVELS, KeptLogLine, find_logged_run_ids_with_prefix, read_run_log_lines
from ...settings.run_history import get_history_setting
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client.events import RunEvent

    from ...runs.follow_run import RunWatch

# These events carry no status, so no line is printed for them.
_UNPRINTED_TYPES = ("run_created", "steps_needed", "step_ready")


@click.command("watch", cls=Command)
@runs_argument
@wait_options
@running_server_options
@output_options
def watch_command(ids: list[str], wait: WaitOptions, server: ServerOptions, output: Output) -> None:
    """On a terminal, the command shows a tree. Elsewhere, it prints a line for each change. Use -o jsonl to print the
    events, or -o json or yaml to print the run when it ends. With -q, the command prints only how runs ended, and you
    can pass several runs, or - as RUN to read IDs from standard input, one per line.

    The exit code is 0 if all runs completed. Otherwise, it's 5 if a run didn't end in time, else 1 if a run failed,
    else 6 if a run was cancelled. If you press Ctrl-C, the run continues and the command to watch it again is printed.
    A cancelled run counts as ended, although servers keep executing it. Steps are shown only if the server provides
    events.
    """
    quiet = current_session().quiet
    if len(ids) > 1 and not quiet:
        raise usage("only one run can be watched at once", "to watch several, use -q, which prints only how they ended")
    if len(ids) > 1 and wait.on_interrupt == "cancel":
        raise usage("--on-interrupt cancel accepts only one run")
    with connect_to_runs(server, ids) as (target, ids):
        if quiet or not ids:
            from ...runs.process_several_runs import wait_and_print_runs

            wait_and_print_runs(target, ids, wait, output)
            return
        from ...runs.follow_run import RunWatch, build_failure_problem

        run_id = ids[0]
        with hinting_return(target, run_id, wait):
            watch = RunWatch(target, run_id, wait.timeout)
            if output.format == "jsonl":
                watch.follow(lambda event, *_: output.print_records([build_event_record(event)], EVENT, flush=True))
            elif output.format in ("json", "yaml", "name") or output.fields:
                with show_spinner(f"watching run {run_id}"):
                    watch.follow()
                run = read_explained_run(target.client, run_id)
                output.print_record(run.to_dict(), get_single_run_view(run.account))
            elif is_terminal(sys.stdout):
                from ...output.live import live_display

                with live_display(watch.build_tree) as refresh, redirecting_outage_messages(watch.show_message):
                    watch.follow(refresh=refresh, sub_runs=True)
            else:
                _watch_and_print_events(watch, output)
            problem = build_failure_problem(target, watch.details)
        if problem is not None:
            add_view_commands_hint(problem, target, run_id)
            raise problem


def _watch_and_print_events(watch: RunWatch, output: Output) -> None:
    from ...runs.follow_run import describe_event

    def print_event_line(event: RunEvent, seconds: float | None, error: str | None) -> None:
        if event.type not in _UNPRINTED_TYPES or (event.type == "run_created" and event.run_id == watch.details.run_id):
            line = describe_event(event, watch.progress, seconds, error)
            output.write_texts([f"{escape(line)}\n"], flush=True)

    watch.follow(print_event_line, sub_runs=True)
    if watch.details.failed_in_sub_runs:
        output.write_texts([f"{watch.details.text}\n"])


EVENT_TYPES = (
    *("run_created", "steps_needed", "step_ready", "step_started", "step_completed", "run_completed"),
    "sub_run_created",
)


class _EventOptions(NamedTuple):
    after: str | None
    include_results: bool
    include_sub_runs: bool
    heartbeat: float | None
    types: tuple[str, ...]


@click.command("events", cls=Command)
@run_argument
@group_options(
    "options",
    _EventOptions,
    option("--after CURSOR", "Print only events after this cursor, or starting at this event number."),
    option(
        "--type TYPE",
        f"Print only events of these types; repeatable: {', '.join(EVENT_TYPES)}.",
        to="types",
        type=Choice(EVENT_TYPES),
        multiple=True,
    ),
    option("--include-results", "Include step outputs."),
    option(
        "--include-sub-runs",
        "Include sub_run_created and the events of runs that steps create. Servers report wrong step IDs for these "
        "events. For the right IDs, pass the sub-run as RUN.",
    ),
    option("--heartbeat SECONDS", "Print a heartbeat after this many seconds without an event.", type=SECONDS),
)
@running_server_options
@output_options
def events_command(run_id: str, options: _EventOptions, server: ServerOptions, output: Output) -> None:
    """On a terminal, events are printed as readable lines, and elsewhere as JSON lines. Each event is printed exactly
    once, even if the connection breaks. To continue after an event, pass its cursor with --after.

    The output ends only when the run ends or is cancelled, because servers don't mark the latest event of a running
    run. This requires server 0.12 or newer.
    """
    with connect_to_run(server, run_id) as (target, run_id):
        events = _iter_run_events(target, run_id, options)
        form = output.format or ("table" if is_terminal(sys.stdout) else None)
        if form == "table" and not output.fields:
            output.write_texts((_format_event_line(event, run_id) for event in events), flush=True)
        else:
            records = (build_event_record(event, with_output=options.include_results) for event in events)
            output.print_records(records, EVENT, default="jsonl", flush=True)


def _iter_run_events(target: Target, run_id: str, options: _EventOptions) -> Iterator[RunEvent]:
    cursor = options.after

    def build_continuation_command() -> str | None:
        if target.ends_with_command:
            return None
        words = [target.build_command_for_run("runs events", run_id)]
        words += ["--include-results"] * options.include_results + ["--include-sub-runs"] * options.include_sub_runs
        words += [] if options.heartbeat is None else [f"--heartbeat {options.heartbeat:g}"]
        words += [f"--type {shlex.quote(kind)}" for kind in options.types]
        words += [f"--after {shlex.quote(cursor)}"] if cursor else []
        return " ".join(words)

    try:
        with target.client.run_events(
            run_id,
            after=int(cursor) if cursor is not None and cursor.isdecimal() else cursor,
            include_results=options.include_results,
            include_sub_runs=options.include_sub_runs,
            event_types=options.types or None,
            heartbeat=options.heartbeat,
        ) as events:
            for event in events:
                yield event
                cursor = event.cursor
    except KeyboardInterrupt:
        hint = build_continuation_command()
        raise interrupted_problem(f"interrupted; run {run_id} continues", hint, run_id=run_id) from None
    except StepflowClientError as error:
        was_cut_off = isinstance(error, TransportError) or cursor not in (None, options.after)
        raise convert_to_problem(error, hint=build_continuation_command() if was_cut_off else None) from error


def _format_event_line(event: RunEvent, run_id: str) -> str:
    record = build_event_record(event)
    status = record.get("status", "completed")
    # Newer servers might send event types we don't know about. Print the name of the type.
    parts = [record.get("name", event.type).replace("sub_run", "sub-run").replace("_", " ")]
    parts[0] += "" if status == "completed" else f" ({status})"
    is_below = event.run_id != run_id
    if "item_index" in record:
        parts.append(f"item {record['item_index']}")
    if is_below and record.get("step_index") is not None:
        # Servers report the wrong step ID here, but the step index is correct.
        parts.append(f"step {record['step_index']}")
    elif record.get("step_id"):
        parts.append(f"step {record['step_id']}")
    if record.get("step_ids") and not is_below:
        parts.append(f"steps {', '.join(record['step_ids'])}")
    if record.get("attempt", 1) > 1:
        parts.append(f"attempt {record['attempt']}")
    if is_below or event.type in ("run_created", "run_completed"):
        parts.append(f"run {event.run_id}")
    return escape(f"{event.cursor:<6}  {format_log_line_time(record['timestamp'] or '-')}  {'  '.join(parts)}") + "\n"


_LOG_LINE_FIELDS = ("time", "level", "target", "message", "times", "exception")
_LINE = View(columns("time", "level:status", "message", "times:number"), fields=("target", "exception"), name="message")


@click.command("logs", cls=Command)
@recorded_run_argument
@option(
    "--level LEVEL",
    "Print lines at this level and above: info, warn, error. [default: info]",
    type=Choice(KEPT_LEVELS),
    default=KEPT_LEVELS[0],
)
@limit_option("Print only the last N lines.")
@option("--all", "Include lines that name only other runs.", to="everything")
@output_options
def logs_command(run_id: str, level: str, limit: int | None, everything: bool, output: Output) -> None:
    """This works for runs on servers that 'serve' or another command (except 'test') started on this machine. It prints
    the log from the first to the last line that names the run, at level info and above, without lines about other runs.
    Worker lines that don't name a run are included. Repeated lines are printed once, with a count.

    Unless the history is off, the last 50 log files (up to 10 MiB each) are kept in your state folder. Without workers,
    'serve' logs only warnings and errors, unless you start it with -v, --log-file or --log-level info.
    """
    if run_id.startswith("@"):
        run_id = find_history_run_by_position(run_id).run_id
    elif not is_complete_run_id(run_id):
        ids = find_logged_run_ids_with_prefix(run_id)
        if len(ids) > 1:
            raise usage(f"several run IDs begin with {run_id}", f"use one of these: {', '.join(ids[:5])}")
        run_id = ids[0] if ids else run_id
    lines = read_run_log_lines(run_id, include_other_runs=everything)
    if not lines:
        hint = (
            "only logs of servers started by this command, such as 'stepflow serve', are kept; without workers, it "
            "logs only warnings and errors unless started with --log-level info"
        )
        if get_history_setting().value == "off":
            hint = "logs are kept only if the history is on: stepflow config set history on"
        raise Problem(f"no log was kept for run {run_id}", kind="not_found", hint=hint)
    levels = KEPT_LEVELS[KEPT_LEVELS.index(level) :]
    shown = [line for line in lines if line.level in levels][-(limit or 0) :]
    if not shown:
        note(f"none of the {len(lines)} lines of run {run_id} has level {level} or above")
    if (output.format or "table") == "table" and not output.fields:
        output.write_texts(map(_format_log_line, shown))
    else:
        output.print_records(({name: getattr(line, name) for name in _LOG_LINE_FIELDS} for line in shown), _LINE)


def _format_log_line(line: KeptLogLine) -> str:
    again = f"  (repeated {line.times} times)" if line.times > 1 else ""
    first = f"{format_log_line_time(line.time)}  {line.level:<5}  {line.message}{again}"
    indented = (f"  {text}" for text in (line.exception or "").splitlines())
    return "".join(f"{escape(text)}\n" for text in (first, *indented))
