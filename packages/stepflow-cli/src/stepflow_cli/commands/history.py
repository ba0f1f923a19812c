"""`stepflow history`: the recorded runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stepflow_client._base.text_formatting import duration_text

from ..errors import Problem, usage
from ..output.printing import Output
from ..output.record_views import View, columns
from ..params.click_commands import LazyGroup
from ..params.options import (
    DURATION,
    Confirm,
    confirm_option,
    labels_option,
    limit_option,
    option,
    output_options,
    record_options,
)
from ..params.runs import optional_recorded_run_argument, query_argument, recorded_run_argument, status_option
from ..records.runs import ENTRY, ENTRY_IN_FULL, build_history_record
from ..runs.find_runs import parse_history_position
from ..settings.run_history import open_history

if TYPE_CHECKING:
    from stepflow_client._command import RunQuery
    from stepflow_client.history import HistoryEntry

command = LazyGroup(
    "history",
    aliases={"get": "show", "prune": "clear"},
    help="""
    Current servers don't return a run's input, variables or overrides, so commands that start runs (except 'test' and
    'doctor') record them in history.db in your state folder, which only you can read. Values of secret variables aren't
    recorded. If a batch is split into several runs, only the first is recorded, without its inputs. The history keeps
    up to 10,000 runs for 90 days.

    To turn recording off, run 'stepflow config set history off' or set STEPFLOW_HISTORY=off. To share the history
    between hosts, set history to the URL of a PostgreSQL database. If a run can't be recorded, you get a warning, not
    an error.

    Instead of a run ID, you can use @last for the last recorded run or @2 for the one before it. 'runs' commands then
    use that run's server. With --url or --profile, only runs on that server are counted, and 'run --reuse' counts only
    runs of its flow. Only 'stepflow history' accepts a batch that was split.
    """,
)


_DEFAULT_LIMIT = 30


@command.command("list")
@query_argument
@labels_option("List only runs with this label. Repeatable.")
@status_option("runs")
@limit_option("List at most N runs.", default=_DEFAULT_LIMIT)
@output_options
def _list_recorded_runs(
    query: RunQuery, labels: dict[str, str], status: tuple[str, ...], limit: int | None, output: Output
) -> None:
    """List the recorded runs, or those that match QUERY, newest first.

    Runs must match every word of QUERY, for example flow:order status:failed customer=42 since:tuesday until:1h "not
    found". The search covers the recorded IDs, server, flow, input, variables, overrides, labels and note, and ignores
    the case of ASCII letters. NAME=VALUE also matches labels. STATUS is the last status that a command saw, or - if
    there is none. It's 'unconfirmed' while a run is being created, or if the run may exist because its process exited
    or lost the response.
    """
    limit = limit or _DEFAULT_LIMIT
    search = partial(open_history().search, str(query) or None, labels=labels, limit=limit, confirmed=None)
    entries = [entry for word in status or (None,) for entry in search(status=word)]
    if len(status) > 1:
        entries.sort(key=lambda entry: entry.created_at, reverse=True)
    output.print_records(map(build_history_record, entries[:limit]), ENTRY)


@command.command("show")
@recorded_run_argument
@record_options
def _show_recorded_run(run_id: str, output: Output) -> None:
    """Show a recorded run: its input, variables, overrides and flow.

    @last, @2 and so on count the recorded runs on all servers. Values of secret variables are never recorded and are
    shown as ***. Use -o json or -o yaml to include the flow.
    """
    output.print_record(build_history_record(_get_recorded_entry(run_id), full=True), ENTRY_IN_FULL)


def _get_recorded_entry(run_id: str) -> HistoryEntry:
    """Return a run's history entry.

    Raises:
        Problem: If no recorded run matches, or more than one does.
    """
    history = open_history()
    if run_id.startswith("@"):
        entries = history.search(limit=1, offset=parse_history_position(run_id))
    else:
        entries = history.search(run_id=run_id, confirmed=None, limit=2)
    if len(entries) > 1:
        raise usage(f"several recorded run IDs begin with {run_id}", "use more digits")
    if not entries:
        hint = "to see the recorded runs, run 'stepflow history list'"
        raise Problem(f"the history has no run {run_id}", kind="not_found", hint=hint)
    return entries[0]


_CLEARED_VIEW = View(columns("removed:number", "file"), name="removed")


@command.command("clear")
@optional_recorded_run_argument
@option("--max-age TIME", "Keep runs up to this age: 90s, 15m, 1h or 2d. [default: keep none]", type=DURATION)
@confirm_option
@record_options
def _clear_recorded_runs(run_id: str | None, max_age: float | None, confirm: Confirm, output: Output) -> None:
    """Remove all recorded runs, or only RUN, for example to erase its input.

    The data in history.db is overwritten. In PostgreSQL, the tables are rewritten. Without RUN, logs of the same age,
    which 'runs logs' prints, are removed too, even if their server is still running. Servers keep their runs.
    """
    from ..server.server_log_files import delete_old_logs

    if run_id is not None and max_age is not None:
        raise usage("RUN and --max-age cannot be used together")
    history = open_history()
    if run_id is not None:
        entry = _get_recorded_entry(run_id)
        confirm(f"remove run {entry.run_id} from the history")
        removed = int(history.delete(entry.run_id))
    else:
        age = max_age or 0.0
        which = "all recorded runs" if not age else f"the runs recorded more than {duration_text(age)} ago"
        confirm(f"remove {which}")
        delete_old_logs(age)
        removed = history.clear(max_age=age)
    output.print_record({"removed": removed, "file": history.location}, _CLEARED_VIEW)
