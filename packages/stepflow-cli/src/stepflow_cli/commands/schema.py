"""`stepflow schema`."""

from __future__ import annotations

import json

import click

from ..errors import current_session, usage
from ..inputs.flow import find_flow_project
from ..output.messages import note
from ..output.view import write_document
from ..params.options import SERVER_NAMES, Choice, components_option, excludes, file_option, server_options
from ..params.parsing import Command
from ..server.connect import connect, describe_missing, fetch_components
from ..settings.server_choice import ServerOptions


@click.command("schema", cls=Command, conflicts=[excludes("--components", SERVER_NAMES)])
@click.argument("kind", type=Choice(["flow", "config"]), default="flow", metavar="[flow|config]")
@components_option
@server_options(default="embedded", is_needed=False)
@file_option("Write the schema to this file, - for standard output.")
def command(kind: str, components: str | None, server: ServerOptions, output: str | None) -> None:
    """If an option names a server (--url, --profile, --local or --config), the schema has the names and inputs of its
    components. Otherwise it has those of the builtin components, and of the file that the project names as
    `components`.
    """
    from stepflow_client.flows import schema
    from stepflow_client.flows.project import existing_file

    from ..validation.flow_checks import load_saved_components

    names_server = server.is_named
    if kind == "config" and (names_server or components is not None):
        raise usage("the schema of a configuration has no components", "leave out the server and --components")
    if kind == "config":
        document = schema("config")
    # All commands of a repl use its server.
    elif names_server or (components is None and current_session().kept is not None):
        with connect(server) as target:
            listed = fetch_components(target)
        if (missing := describe_missing(listed)) is not None:
            note(missing)
        document = schema("flow", components=listed)
    else:
        project = find_flow_project(None)
        if components is None and project.components is not None:
            components = str(existing_file(project, "components", project.components))
            note(f"the schema has the components of {components}, as {project.file} says")
        document = schema("flow", components=None if components is None else load_saved_components(components))
    write_document((json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode(), output)
