"""`stepflow codegen`."""

from __future__ import annotations

import shlex

import click

from ..errors import Problem, usage
from ..inputs.flow import project_flows, project_of
from ..output.generated import GeneratedFile
from ..params.flow import NO_FLOW, flows_argument
from ..params.options import check_option, file_option, server_options
from ..params.parsing import Command
from ..params.sections import FILE, Section
from ..server.connect import connect, listed_components
from ..settings.server_choice import ServerOptions

_COMPONENTS = Section("Components")


@click.command("codegen", cls=Command)
@flows_argument(of_project=True, is_needed=False)
@_COMPONENTS.option("--components", "Write functions for components, not for flows.")
@_COMPONENTS.option(
    "--from FILE",
    "The file that 'components lock' wrote. [default: components in stepflow.toml, unless an option names a server]",
    to="locked",
    type=FILE,
)
@_COMPONENTS.option(
    "--only GLOB",
    "Components by path, such as '/shop/*'; repeatable. [default: all but the builtin ones]",
    multiple=True,
)
@server_options(default="embedded", reads_project=True)
@file_option("Write the module to this file, - for standard output; it finds the flows from there.")
@check_option
def command(
    flows: list[str],
    components: bool,
    locked: str | None,
    only: tuple[str, ...],
    server: ServerOptions,
    output: str | None,
    check: bool,
) -> None:
    """FLOW is a YAML or JSON file, or a folder of such files. Without any, the flows of the project are taken.

    The module has an object for each flow, with the methods run, submit, start_run, map and result. If the flow has
    schemas, it also has pydantic models for input, output and variables. mypy and pyright check the calls.

    With --components, the module has a typed function for each component of a server or of a file, for flows in Python.

    The module needs only stepflow-client. The same flows or components give the same module, byte for byte. For flows,
    this needs the same release of datamodel-code-generator, which comes with the extra stepflow-cli[codegen].
    """
    from ..validation.checks import flow_files

    file = GeneratedFile(output, check=check)
    if components:
        content, again = _components(flows, locked, only, server), "leave --check out"
    else:
        if locked or only or server.is_named:
            raise usage("--from, --only and the options of servers are for --components")
        flows = flow_files(flows or project_flows(NO_FLOW))
        content = _flows(flows, file.path)
        again = shlex.join(["stepflow", "codegen", *flows, "-O", str(file.path)])
    file.keep(content, again)


def _flows(flows: list[str], target: str | None) -> str:
    """Return the module of flows."""
    if "-" in flows:
        raise usage("a flow from standard input has no path that the module could name", "write it to a file first")
    from ..codegen.models import imported
    from ..codegen.module import write_module

    imported()
    return write_module(flows, target)


def _components(flows: list[str], locked: str | None, only: tuple[str, ...], server: ServerOptions) -> str:
    """Return the module of components: of a file, else of the server, else of the project."""
    from stepflow_client.flows.project import existing_file

    from ..codegen.components import write_stubs
    from ..validation.checks import saved_components

    if flows:
        raise usage("--components is for components, and FLOW for flows", "write two modules")
    if locked is not None and server.is_named:
        raise usage("--from FILE and a server exclude each other")
    project = project_of(None)
    if locked is None and not server.is_named and project.components is not None:
        locked = str(existing_file(project, "components", project.components))
    if locked is not None:
        return write_stubs(saved_components(locked), only)
    with connect(server) as target:
        listed = listed_components(target)
    for failed in listed.failed_plugins:
        raise Problem(
            f"the plugin {failed.plugin} could not be asked for its components: {failed.error}",
            kind="incomplete",
            hint="nothing was written",
        )
    is_routed = target.runtime is not None
    return write_stubs([each.model_dump(mode="json") for each in listed if each.path or not is_routed], only)
