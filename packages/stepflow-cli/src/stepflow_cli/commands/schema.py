"""`stepflow schema`."""

from __future__ import annotations

import json
from typing import Any

import click

from ..context import current_session
from ..errors import usage
from ..inputs.flow import project_of
from ..output.messages import note
from ..output.view import write_document
from ..params.conflicts import excludes
from ..params.options import SERVER_NAMES, components_option, file_option, server_options
from ..params.parsing import Command
from ..params.sections import Choice
from ..server.advice import missing_workers
from ..server.connect import connect, listed_components
from ..settings.server_choice import ServerOptions


@click.command("schema", cls=Command, conflicts=[excludes("--components", SERVER_NAMES)])
@click.argument("kind", type=Choice(["flow", "config"]), default="flow", metavar="[flow|config]")
@components_option
@server_options(default="embedded", is_needed=False)
@file_option("Write the schema to this file, - for standard output.")
def command(kind: str, components: str | None, server: ServerOptions, output: str | None) -> None:
    """A server is asked for its components only if an option names it (--url, --profile, --local or --config): the
    schema then has their names and inputs. Otherwise it has those of the builtin components, and of the file that the
    project names as `components`.
    """
    from stepflow_client.flows import schema

    is_asked = server.is_named
    if kind == "config" and (is_asked or components is not None):
        raise usage("the schema of a configuration has no components", "leave out the server and --components")
    if kind == "config":
        made = schema("config")
    else:
        # All commands of a repl use its server.
        is_asked = is_asked or (components is None and current_session().kept is not None)
        made = schema("flow", components=_listed(server) if is_asked else _read(components))
    write_document((json.dumps(made, indent=2, ensure_ascii=False) + "\n").encode(), output)


def _read(path: str | None) -> Any:
    from stepflow_client.flows.project import existing_file

    from ..validation.checks import saved_components

    project = project_of(None)
    if path is None and project.components is not None:
        path = str(existing_file(project, "components", project.components))
        note(f"the schema has the components of {path}, as {project.file} says")
    return None if path is None else saved_components(path)


def _listed(server: ServerOptions) -> Any:
    with connect(server) as target:
        listed = listed_components(target)
    if (missing := missing_workers(listed)) is not None:
        note(missing)
    return listed
