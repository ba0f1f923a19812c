"""`stepflow runs events`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import click
from stepflow_client import StepflowClientError, TransportError

from ...errors import ExitCode, Problem, to_problem
from ...output.tables import format_line_time
from ...output.terminal import is_terminal, printable
from ...output.view import Output
from ...params.options import SECONDS, Choice, grouped, option, output_options, running_server_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...records.runs import EVENT, build_event_record
from ...runs.find import connect_to_run
from ...server.connect import Target
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client.events import RunEvent

TYPES = (
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
@grouped(
    "options",
    _EventOptions,
    option("--after CURSOR", "Only events after this one, or from this number on."),
    option(
        "--type TYPE", f"Only these; repeatable: {', '.join(TYPES)}.", to="types", type=Choice(TYPES), multiple=True
    ),
    option("--include-results", "Include the outputs of the steps."),
    option(
        "--include-sub-runs",
        "Include the events of runs that steps create. Their step ids are wrong on the server; pass that run's id "
        "for correct ones.",
    ),
    option(
        "--heartbeat SECONDS",
        "Print a heartbeat after this many seconds without an event.",
        type=SECONDS,
    ),
)
@running_server_options
@output_options
def command(run_id: str, options: _EventOptions, server: ServerOptions, output: Output) -> None:
    """Prints readable lines on a terminal, elsewhere JSON lines. Each event comes exactly once, even if the
    connection breaks; --after with the cursor of an event continues after it.

    The output ends only with the run, because servers do not mark the latest event of a running run. Needs a server
    of 0.12 or newer.
    """
    with connect_to_run(server, run_id) as (target, run_id):
        events = _stream_events(target, run_id, options)
        form = output.format or ("table" if is_terminal(sys.stdout) else None)
        if form == "table" and not output.fields:
            output.write_all((_format_line(event, run_id) for event in events), flush=True)
        else:
            records = (build_event_record(event, with_output=options.include_results) for event in events)
            output.records(records, EVENT, default="jsonl", flush=True)


def _stream_events(target: Target, run_id: str, options: _EventOptions) -> Iterator[RunEvent]:
    cursor = options.after

    def continuation() -> str | None:
        """Return the command that continues after the last event."""
        if target.ends_with_command:
            return None
        words = [target.return_command("runs events", run_id)]
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
        message = f"interrupted; run {run_id} continues"
        code, hint = ExitCode.INTERRUPTED, continuation()
        raise Problem(message, kind="interrupted", exit_code=code, run_id=run_id, hint=hint) from None
    except StepflowClientError as error:
        was_cut_off = isinstance(error, TransportError) or cursor not in (None, options.after)
        raise to_problem(error, hint=continuation() if was_cut_off else None) from error


def _format_line(event: RunEvent, run_id: str) -> str:
    record = build_event_record(event)
    status = record.get("status", "completed")
    # Events of newer servers have a name.
    parts = [record.get("name", event.type).replace("sub_run", "sub-run").replace("_", " ")]
    parts[0] += "" if status == "completed" else f" ({status})"
    is_below = event.run_id != run_id
    if "item_index" in record:
        parts.append(f"item {record['item_index']}")
    if is_below and record.get("step_index") is not None:
        # Servers give the id of a different step, but the correct index.
        parts.append(f"step {record['step_index']}")
    elif record.get("step_id"):
        parts.append(f"step {record['step_id']}")
    if record.get("step_ids") and not is_below:
        parts.append(f"steps {', '.join(record['step_ids'])}")
    if record.get("attempt", 1) > 1:
        parts.append(f"attempt {record['attempt']}")
    if is_below or event.type in ("run_created", "run_completed"):
        parts.append(f"run {event.run_id}")
    return printable(f"{event.cursor:<6}  {format_line_time(record['timestamp'] or '-')}  {'  '.join(parts)}") + "\n"
