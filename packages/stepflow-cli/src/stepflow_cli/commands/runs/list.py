"""`stepflow runs list`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from stepflow_client._command import quote_word, sync_gather

from ...errors import usage
from ...output.colors_and_escaping import is_terminal
from ...output.messages import note
from ...output.printing import Output
from ...params.click_commands import Command
from ...params.options import (
    TIME,
    excludes,
    labels_option,
    limit_option,
    option,
    output_options,
    running_server_options,
    watch_option,
)
from ...params.runs import RUN_ID, query_argument, status_option
from ...records.runs import RUN, WATCHED_RUN
from ...runs.explain_failures import add_failed_sub_run_item_count
from ...runs.find_runs import connect_to_runs, run_matches_query_word
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import RunDetails, SyncStepflowClient
    from stepflow_client._command import RunQuery

_DEFAULT_LIMIT = 30
_MAX_COUNTED_RUNS = 10
# Look for sub-runs with failed items in at most this many recent runs.
_MAX_SEARCHED_RUNS = 300


@click.command(
    "list",
    cls=Command,
    conflicts=(excludes("--all", "--limit"), excludes("--watch", "--all", "use -n N to watch more runs")),
)
@query_argument
@status_option("runs")
@option("--flow-name NAME", "List only runs of flows with this name.")
@option("--root RUN", "List only this root run and its sub-runs, at any depth.", type=RUN_ID)
@option("--parent RUN", "List only runs created by steps of this run.", type=RUN_ID)
@option("--roots-only", "Leave out runs created by steps.")
@labels_option("List only runs that have this label in this machine's history. Repeatable.")
@option("--since TIME", "List only runs created since this time, such as 2026-11-25, or 1h for an hour ago.", type=TIME)
@option("--until TIME", "List only runs created before this time (local unless you add a time zone).", type=TIME)
@limit_option("List at most N runs.", default=_DEFAULT_LIMIT)
@option("--all", "List all runs. With -o jsonl or name, print each run as it arrives.", to="everything")
@running_server_options
@watch_option
@output_options
def command(
    query: RunQuery,
    status: tuple[str, ...],
    limit: int | None,
    everything: bool,
    server: ServerOptions,
    watch: bool,
    output: Output,
    **given: Any,
) -> None:
    """Runs must match every word of QUERY, for example flow:order status:failed customer=42 since:tuesday until:1h. The
    search covers the flow's name and ID, the run ID, and this machine's history, as in 'history list'.

    ITEMS shows how many items have ended, out of the total. Servers update it only when the run ends. Until then,
    unless you use --all, the command counts ended items for the 10 newest running or cancelled batches, if the server
    provides events. Without --all or --watch, STATUS includes the failed items in sub-runs of up to 10 completed runs
    (0.12 or newer). In tables, an unfinished run's duration is the time since it was created.

    With --watch, PROGRESS shows the items, rate and time left for batches, and the steps for other runs. It follows up
    to 10 running runs at once, if the server provides events.
    """
    if watch:
        from ...output.live import require_redrawable

        require_redrawable(output)
    fields = query.fields
    options = {"status": status, "flow": given["flow_name"], "since": given["since"], "until": given["until"]}
    if both := [name for name, value in options.items() if value and name in fields]:
        raise usage(f"{both[0]}: is in QUERY, but an option also sets it", "use only one of them")
    status = status or ((fields["status"],) if "status" in fields else ())
    filters = {
        "flow_name": given["flow_name"] or fields.get("flow"),
        "root_run_id": given["root"],
        "parent_run_id": given["parent"],
        "roots_only": given["roots_only"],
        "since": given["since"] or fields.get("since"),
        "until": given["until"] or fields.get("until"),
        "labels": given["labels"] or None,
    }
    limit = limit or _DEFAULT_LIMIT
    above = {name: str(filters[name]) for name in ("root_run_id", "parent_run_id") if filters[name]}
    with connect_to_runs(server, [*above.values()]) as (target, ids):
        client = target.client
        # If both options refer to the same run, there's only one ID.
        filters |= zip(above, ids * len(above), strict=False)
        if everything:
            matching = _iter_matching_runs(client, query.words, status, filters)
            output.print_records((run.to_dict() for run in matching), RUN)
            return
        if watch:
            from ...output.live import show_live_table
            from ...runs.follow_run import RunningRunsFollower

            def fetch_with_progress() -> list[Mapping[str, Any]]:
                runs = _list_newest_runs(client, query.words, status, filters, limit)
                return running.add_progress([run.to_dict() for run in runs])

            with closing(RunningRunsFollower(client)) as running:
                show_live_table(fetch_with_progress, WATCHED_RUN, output)
            return
        # Fetch one extra run to find out whether there are more.
        runs = _list_newest_runs(client, query.words, status, filters, limit + 1)
        shown = runs[:limit] if output.format == "name" else _add_current_item_counts(client, runs[:limit])
    output.print_records([run.to_dict() for run in shown], RUN)
    if len(runs) > limit and is_terminal(sys.stderr):
        newest = "the newest run is" if limit == 1 else f"the newest {limit} runs are"
        note(f"only {newest} shown; use -n N for more, or --all for all")


def _add_current_item_counts(client: SyncStepflowClient, runs: Sequence[RunDetails]) -> list[RunDetails]:
    """Update the item counts of the newest running batches.

    For the newest completed runs, also count the failed items of sub-runs.
    """
    detailed = {run.run_id: run for run in runs}
    completed = [run for run in runs if run.status.value == "completed"]
    # Use a single request to find the few runs whose steps we need, rather than fetching every run.
    created = client.list_runs(limit=_MAX_SEARCHED_RUNS).runs if completed else []
    parents = {run.parent_run_id for run in created if run.items.failed}
    counted = [run.run_id for run in runs if run.items.total > 1 and (run.items.running or run.items.cancelled)]

    def fetch_counted_run(run_id: str) -> RunDetails:
        return client.snapshot(run_id, include="counts").details

    reads = [partial(fetch_counted_run, run_id) for run_id in counted[:_MAX_COUNTED_RUNS]]
    with_sub_runs = [run for run in completed if run.run_id in parents]
    reads += [partial(add_failed_sub_run_item_count, client, run) for run in with_sub_runs[:_MAX_COUNTED_RUNS]]
    detailed |= {run.run_id: run for run in (sync_gather(reads, _MAX_COUNTED_RUNS) if reads else ())}
    return list(detailed.values())


def _iter_matching_runs(
    client: SyncStepflowClient, words: Sequence[str], status: tuple[str, ...], filters: dict[str, Any]
) -> Iterator[RunDetails]:
    """Yield matching runs, newest first.

    Servers can only filter by one status, so if there are several, we request a listing for each and merge them.
    """
    recorded = {word: {entry.run_id for entry in client._recorder.search_entries(quote_word(word))} for word in words}
    listings = [client.iter_runs(status=state, **filters) for state in status or (None,)]
    for run in merge(*listings, key=lambda run: run.run_id, reverse=True) if len(listings) > 1 else listings[0]:
        if all(run_matches_query_word(run, word) or run.run_id in ids for word, ids in recorded.items()):
            yield run


def _list_newest_runs(
    client: SyncStepflowClient, words: Sequence[str], status: tuple[str, ...], filters: dict[str, Any], limit: int
) -> list[RunDetails]:
    if words:
        return list(islice(_iter_matching_runs(client, words, status, filters), limit))
    listings = [client.list_runs(status=state, limit=limit, **filters).runs for state in status or (None,)]
    if len(listings) == 1:
        return listings[0]
    # Merge by ID, because a run that ends between two requests shows up in both lists.
    merged = {run.run_id: run for runs in listings for run in runs}
    return sorted(merged.values(), key=lambda run: run.run_id, reverse=True)[:limit]
