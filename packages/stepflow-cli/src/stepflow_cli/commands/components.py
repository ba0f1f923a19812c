"""`stepflow components`: the components that steps can call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import Problem, usage
from ..inputs.command_line_values import RunValues
from ..inputs.flow_loading import load_project_settings
from ..output.colors_and_escaping import escape_json_for_terminal
from ..output.messages import note
from ..output.printing import GeneratedFile, Output, write_document_bytes
from ..output.record_views import View, columns
from ..params.click_commands import LazyGroup
from ..params.flow_run_options import input_options, one_input
from ..params.options import (
    FILE,
    SERVER_NAMES,
    WaitOptions,
    check_needs_file,
    check_option,
    excludes,
    file_output_options,
    lazy_complete,
    make_table_output_options,
    option,
    output_file_option,
    server_options,
    wait_options,
)
from ..server.connect import Target, connect, describe_plugins_without_worker, fetch_components
from ..settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import ComponentList

command = LazyGroup("components")

_COMPONENT_VIEW = View(
    columns("name:id", "path:id", "plugin", "description"), name="name", fields=("input_schema", "output_schema")
)


@command.command("list")
@option(
    "--schemas/--no-schemas",
    "Also print each component's schemas. [default: --schemas for json, jsonl and yaml, else --no-schemas]",
    default=None,
)
@option(
    "--hide-unreachable/--no-hide-unreachable",
    "Hide components that no route leads to, if the routes are known. [default: --hide-unreachable]",
    default=True,
)
@server_options(default="embedded", reads_project=True)
@make_table_output_options(pretty="table")
def list_components_command(
    schemas: bool | None, hide_unreachable: bool, server: ServerOptions, output: Output
) -> None:
    """List the components that flows can use.

    PATH is what a step uses as its `component`. Servers don't report it. For an embedded server, it comes from the
    configuration.
    """
    if schemas and output.format in (None, "table") and not output.fields:
        note("a table has no room for schemas: use -o json")
    if schemas is None:
        schemas = output.format in ("json", "jsonl", "yaml") or any("schema" in field for field in output.fields)
    with connect(server) as target:
        listed = fetch_components(target, schemas=schemas)
        records = _build_component_records(listed, schemas, hide_unreachable and target.runtime is not None)
        output.print_records(records, _COMPONENT_VIEW)
    for failed in listed.failed_plugins:
        note(f"cannot list the components of plugin {failed.plugin}: {failed.error}")


def _build_component_records(listed: ComponentList, schemas: bool, hide_unreachable: bool) -> Iterator[dict[str, Any]]:
    for component in sorted(listed, key=lambda entry: (entry.plugin or "", entry.name)):
        if hide_unreachable and component.path is None:
            continue
        record = component.to_dict()
        if not schemas:
            del record["input_schema"], record["output_schema"]
        yield record


_DEFAULT_FILE = "stepflow-components.json"
_MAX_NAMED = 5


@command.command("lock")
@server_options(default="embedded", reads_project=True)
@output_file_option(
    f"Write to this file, or - for standard output. [default: components in stepflow.toml, else {_DEFAULT_FILE}]"
)
@check_option
def _write_lock_file(server: ServerOptions, output: str | None, check: bool) -> None:
    """Write a server's components and their schemas to a file.

    'validate --offline' and 'infer' can then check flows without a server: use --components FILE, or set components =
    "FILE" in the project's stepflow.toml. With --check, the exit code is 1 if the server's components have changed, and
    the message lists the changed components and keys.
    """
    named = load_project_settings(None).components
    output = output or str(named or _DEFAULT_FILE)
    if check and output == "-":
        raise usage("--check needs a file to compare with", "name it with -O FILE")
    if not check:
        Output(path=output).check_file_writable()
    with connect(server) as target:
        records = _fetch_component_records(target)
    if check:
        _check_lock_file(output, records)
    else:
        # Sort keys because servers return them in a different order each time.
        text = json.dumps(records, indent=2, ensure_ascii=False, sort_keys=True)
        write_document_bytes(f"{escape_json_for_terminal(text)}\n".encode(), output)
        if output != "-":
            note(f"wrote {len(records)} components to {output}")
        if output == _DEFAULT_FILE and named is None:
            note(f'all checks of the project use them with components = "{_DEFAULT_FILE}" in stepflow.toml')


def _fetch_component_records(target: Target) -> list[Mapping[str, Any]]:
    """Return a server's components, leaving out unreachable ones if the routes are known.

    Raises:
        Problem: If a plugin failed to list its components.
    """
    listed = fetch_components(target)
    if (missing := describe_plugins_without_worker(listed)) is not None:
        hint = "nothing was written; to see the others, run 'stepflow components list'"
        raise Problem(missing, kind="incomplete", hint=hint)
    return list(_build_component_records(listed, True, target.runtime is not None))


def _check_lock_file(path: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Check that a lock file lists the same components as the server.

    Raises:
        Problem: If the components differ. The message lists the keys that changed.
    """
    from stepflow_client._command import ABSENT, find_value_changes
    from stepflow_client.flows.expressions import format_path

    from ..validation.flow_checks import read_component_file

    if not Path(path).exists():
        raise Problem(f"{path} does not exist", kind="outdated", hint="to write it, leave out --check")
    before, now = _index_components_by_path(read_component_file(path)), _index_components_by_path(records)
    changed: list[str] = []
    for name in sorted(now.keys() & before.keys()):
        # Sort keys because servers return them in a different order each time.
        keys = sorted(
            format_path(change.path).removeprefix("$.")
            + (" is new" if change.a is ABSENT else " is gone" if change.b is ABSENT else "")
            for change in find_value_changes(before[name], now[name])
        )
        more = [f"{len(keys) - _MAX_NAMED} more"] if len(keys) > _MAX_NAMED else []
        if keys:
            changed.append(f"{name} ({', '.join(keys[:_MAX_NAMED] + more)})")
    lists = {"new": sorted(now.keys() - before.keys()), "gone": sorted(before.keys() - now.keys()), "changed": changed}
    differences = "; ".join(f"{word}: {', '.join(names)}" for word, names in lists.items() if names)
    if differences:
        message = f"{path} differs from the server: {differences}"
        raise Problem(message, kind="outdated", hint="to update it, leave out --check")
    note(f"{path} is up to date")


def _index_components_by_path(records: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Index components by path, or by plugin and name if the path is unknown."""
    return {
        str(record.get("path") or "/".join(filter(None, (record.get("plugin"), record["name"])))): record
        for record in records
    }


@command.command("stubs", conflicts=[check_needs_file, excludes("--from", SERVER_NAMES)])
@option(
    "--from FILE",
    "Read a file written by 'components lock'. [default: components in stepflow.toml, unless an option names a server]",
    to="locked",
    type=FILE,
)
@option(
    "--only GLOB",
    "Include only components whose path matches GLOB, such as '/shop/*'. Repeatable. [default: all except builtin "
    "ones]",
    multiple=True,
)
@server_options(default="embedded", reads_project=True)
@output_file_option("Write the module to this file, or - for standard output.")
@check_option
def _write_stubs(
    locked: str | None, only: tuple[str, ...], server: ServerOptions, output: str | None, check: bool
) -> None:
    """Generate a Python module with a typed function for each component, for flows in Python.

    The module depends only on stepflow-client. The same components always produce the same module.
    """
    from stepflow_client.flows.project import require_existing_file

    from ..codegen.component_stubs import generate_stubs
    from ..validation.flow_checks import read_component_file

    file = GeneratedFile(output, check=check)
    project = load_project_settings(None)
    if locked is None and not server.has_server_option and project.components is not None:
        locked = str(require_existing_file(project, "components", project.components))
    if locked is not None:
        records: Sequence[Mapping[str, Any]] = read_component_file(locked)
    else:
        with connect(server) as target:
            records = _fetch_component_records(target)
    file.write_or_compare(generate_stubs(records, only), "leave out --check")


@command.command("call", conflicts=[one_input])
@click.argument("component", metavar="PATH", shell_complete=lazy_complete("components"))
@input_options
@server_options(default="embedded", reads_project=True)
@wait_options
@file_output_options
def _call_component(
    component: str, values: RunValues, server: ServerOptions, wait: WaitOptions, output: Output
) -> None:
    """Call a single component without a flow and print its output.

    PATH is what a step would use as its `component`, such as /builtin/create_messages. You can pass the input with an
    option or pipe it in as JSON. The default is null.

    The call runs as a one-step flow and is recorded like any other run. The output is printed as JSON. As with 'run',
    use -o to print the whole result, even if the call fails.
    """
    from ..runs.job_from_options import Job
    from ..runs.run_options import RunOptions
    from ..runs.single_run import run_job

    if not component.startswith("/"):
        raise usage(f"{component} is not a component path", "start it with a slash: /builtin/create_messages")
    values.check_value_conflicts(flow="")
    steps = [{"id": "call", "component": component, "input": {"$input": "$"}}]
    flow = {"name": component, "steps": steps, "output": {"$step": "call"}}
    job = Job(RunOptions("", values, server, wait, output), flow, input=values.read_input({}))
    with connect(server) as target:
        run_job(target, job)
