"""`stepflow flows`: flows stored on a server."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

import click
from stepflow_client import InvalidFlowError
from stepflow_client._data.flow_declarations import get_variable_declarations
from stepflow_client._data.secrets import find_secret_values_in_flow, hide_flow_secrets
from stepflow_client.types.model_base import to_plain_data

from ..errors import current_session
from ..inputs.flow_loading import load_flow_argument, load_flow_unless_id
from ..output.printing import Output
from ..output.record_views import View, columns
from ..params.click_commands import LazyGroup
from ..params.flow_run_options import flow_argument, flows_argument
from ..params.options import (
    TIME,
    Confirm,
    confirm_option,
    excludes,
    file_output_options,
    limit_option,
    option,
    output_options,
    record_options,
    running_server_options,
    watch_option,
)
from ..params.runs import content_id_type
from ..runs.process_several_runs import fetch_deletion_status, note_undeleted_objects
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

command = LazyGroup("flows")

_DEFAULT_LIMIT, _MAX_SEARCHED_RUNS = 30, 1000

_FLOW_VIEW = View(
    columns=columns("name", "flow_id", "runs:number", "last_run:time", "last_status:status=STATUS"),
    name="flow_id",
    fields=("last_run_id",),
)


@command.command("list")
@option("--since TIME", "List only flows that ran since this time: 2026-11-25, or 1h for an hour ago.", type=TIME)
@limit_option("List at most N flows.", default=_DEFAULT_LIMIT)
@running_server_options
@watch_option
@output_options
def _list_recently_run_flows(
    since: str | None, limit: int | None, server: ServerOptions, watch: bool, output: Output
) -> None:
    """List recently run flows, most recent first.

    Servers can't list their flows, so this command finds them in the server's 1,000 most recent runs. RUNS counts only
    those runs, and flows that haven't run aren't listed.
    """
    from ..output.live import require_redrawable, show_live_table

    def read_recent_flows() -> list[dict[str, Any]]:
        flows: dict[str, dict[str, Any]] = {}
        for run in islice(target.client.iter_runs(since=since, page_size=_MAX_SEARCHED_RUNS), _MAX_SEARCHED_RUNS):
            newest = {
                "name": run.flow_name,
                "flow_id": run.flow_id,
                "runs": 0,
                "last_run": to_plain_data(run.created_at),
                "last_status": run.status.value,
                "last_run_id": run.run_id,
            }
            flows.setdefault(run.flow_id, newest)["runs"] += 1
        return list(flows.values())[: limit or _DEFAULT_LIMIT]

    if watch:
        require_redrawable(output)
    with connect(server) as target:
        if watch:
            show_live_table(read_recent_flows, _FLOW_VIEW, output)
            return
        records = read_recent_flows()
    output.print_records(records, _FLOW_VIEW)


_STORED_VIEW = View(columns("flow", "flow_id:id", "name"), name="flow_id")


@command.command("store")
@flows_argument(of_project=False)
@running_server_options
@record_options
def _store_flows(flows: list[str], server: ServerOptions, output: Output) -> None:
    """Store flows on a server and print their IDs.

    FLOW can be a YAML or JSON file, or - to read standard input. A flow has the same ID on every server.

    If the server rejects a flow, the other flows are still stored, and the exit code is 3.
    """
    from ..records.diagnostics import FlowProblem, diagnostic_records, flow_label, note_diagnostics

    contents = [(flow, load_flow_argument(flow)) for flow in flows]
    records: list[dict[str, Any]] = []
    refused: dict[str, list[dict[str, Any]]] = {}
    with connect(server) as target:
        for flow, content in contents:
            flow_id = None
            try:
                stored = target.client.store_flow(content)
                flow_id, diagnostics = stored.flow_id, diagnostic_records(flow, stored.diagnostics)
            except InvalidFlowError as error:
                diagnostics = diagnostic_records(flow, error.diagnostics)
            session = current_session()
            if not session.json_errors and (flow_id is None or not session.quiet):
                note_diagnostics(diagnostics)
            if flow_id is None:
                refused[flow] = diagnostics
            else:
                name = content.get("name")
                records.append({"flow": flow, "flow_id": flow_id, "name": name, "diagnostics": diagnostics})
    if records or not refused:
        output.print_records(records, _STORED_VIEW, default="name")
    if refused:
        names = ", ".join(map(flow_label, refused))
        raise FlowProblem(f"the server refused {names}", [record for group in refused.values() for record in group])


_VARIABLE_VIEW = View(
    columns=columns("name", "required:status", "default", "type", "env_var", "is_secret:status=SECRET", "description"),
    name="name",
    folds=True,
)
_EXAMPLE_VIEW = View(columns("name", "description", "input"), name="name")


@command.command("get", conflicts=[excludes("--examples --variables")])
@flow_argument
@option("--examples", "Print the flow's examples and test inputs instead.")
@option("--variables", "List the flow's variables instead.")
@running_server_options
@file_output_options
def _print_flow(flow: str, examples: bool, variables: bool, server: ServerOptions, output: Output) -> None:
    """Print a flow from a server or a file.

    FLOW can be the ID of a flow on a server, the path to a YAML or JSON file, or - to read standard input. You need a
    server only if FLOW is an ID.

    By default, the flow is printed as YAML that 'stepflow run' accepts. Use -o json for JSON or -o table for an
    outline. Flows fetched from a server don't include comments or unknown keys.

    --variables omits the default values of secret variables.
    """
    from stepflow_client._command import collect_examples

    from ..records.flows import print_flow

    content, flow_id = load_flow_unless_id(flow), None
    if isinstance(content, str):
        flow_id = content
        with connect(server) as target:
            content = target.client.get_flow(flow_id).flow
    if examples:
        fields = ("name", "description", "input")
        records = [{name: example.get(name) for name in fields} for example in collect_examples(content)]
        output.print_records(records, _EXAMPLE_VIEW, default="yaml")
    elif variables:
        # If a default value is an object, hide any secrets in it too.
        hide = find_secret_values_in_flow(content).hide_in
        declared = {name: hide(each) for name, each in get_variable_declarations(hide_flow_secrets(content)).items()}
        records = [
            {
                "name": name,
                "required": each["is_required"],
                "default": None if each["is_secret"] else each["default"],
                "type": each["value_schema"].get("type"),
                "env_var": each["env_var"],
                "is_secret": each["is_secret"],
                "description": each["description"],
                "value_schema": each["value_schema"],
            }
            for name, each in declared.items()
        ]
        output.print_records(records, _VARIABLE_VIEW)
    else:
        print_flow(content, output, flow_id)


_DELETED_FLOW_VIEW = View(columns("flow_id:id", "status:status"), name="flow_id", folds=True)


@command.command("delete")
@click.argument(
    "flow_ids",
    nargs=-1,
    required=True,
    metavar="FLOW_ID...",
    type=content_id_type("flow", "to list the flows of recent runs, run 'stepflow flows list'"),
)
@confirm_option
@running_server_options
@record_options
def _delete_flows(flow_ids: tuple[str, ...], confirm: Confirm, server: ServerOptions, output: Output) -> None:
    """Ask a server to delete flows.

    Released servers accept the request but don't delete anything, so the command then checks whether the flows still
    exist. The status of a flow is 'deleted' or 'kept'.
    """
    names = list(dict.fromkeys(flow_ids))
    with connect(server) as target:
        # Report an error for an unknown flow, even though newer servers accept the request.
        for name in names:
            target.client.get_flow(name)
        confirm(f"delete flow {names[0]}" if len(names) == 1 else f"delete {len(names)} flows")
        for name in names:
            target.client.delete_flow(name)
        get = target.client.get_flow
        records = [{"flow_id": name, "status": fetch_deletion_status(partial(get, name))} for name in names]
    output.print_records(records, _DELETED_FLOW_VIEW)
    note_undeleted_objects(records)
