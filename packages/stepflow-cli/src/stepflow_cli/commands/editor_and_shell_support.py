"""`stepflow lsp` and `schema` for editors, and `stepflow completion` for shells."""

from __future__ import annotations

import json

import click

from ..errors import current_session, require_extra, usage
from ..inputs.flow_loading import load_project_settings
from ..main import cli
from ..output.messages import note
from ..output.printing import write_document_bytes
from ..params.click_commands import Command
from ..params.options import (
    SERVER_NAMES,
    Choice,
    components_option,
    excludes,
    option,
    output_file_option,
    server_options,
)
from ..server.connect import connect, describe_plugins_without_worker, fetch_components
from ..settings.server_choice import ServerOptions
from ..shell_completion import COMPLETION_VARIABLE, SHELLS


@click.command("lsp", cls=Command)
@components_option
@option("--type-check", "Report type mismatches as errors and warnings, not just as notes.")
@option("--stdio", "Use standard input and output; accepted because editors pass it.", hidden=True)
def lsp_command(components: str | None, type_check: bool, stdio: bool) -> None:
    """Your editor starts this command and talks to it over standard input and output. See docs/guides/editors.md for
    setup.

    The language server reports what 'validate --offline' finds (with type mismatches as notes) and completes what you
    type. It also finds, renames and explains steps, variables, input fields and components. It ignores files that are
    neither flows nor server configurations.

    If STEPFLOW_URL, a profile or the editor's 'server' setting names a server, flows are also checked there when you
    save them. A project can't name a server, and the command never starts one.

    As in 'validate', components and other settings come from the flow's project. --components takes precedence.

    This requires the stepflow-cli[lsp] extra.
    """
    require_extra("'stepflow lsp'", "lsp", "pygls")
    if components is not None:
        from ..validation.flow_checks import read_component_file

        # Report an unreadable file now, rather than later in the editor.
        read_component_file(components)
    from ..lsp.server import serve_editor

    serve_editor(components, type_check=type_check)


@click.command("schema", cls=Command, conflicts=[excludes("--components", SERVER_NAMES)])
@click.argument("kind", type=Choice(["flow", "config"]), default="flow", metavar="[flow|config]")
@components_option
@server_options(default="embedded", is_needed=False)
@output_file_option("Write the schema to this file, or - for standard output.")
def schema_command(kind: str, components: str | None, server: ServerOptions, output: str | None) -> None:
    """If you select a server (--url, --profile, --local or --config), the schema includes the names and inputs of its
    components. Otherwise, it includes the builtin components and those in the project's component file.
    """
    from stepflow_client.flows import schema
    from stepflow_client.flows.project import require_existing_file

    from ..validation.flow_checks import read_component_file

    if kind == "config" and (server.has_server_option or components is not None):
        raise usage("a configuration's schema has no components", "leave out the server and --components")
    if kind == "config":
        document = schema("config")
    # Inside a repl, every command uses the repl's server.
    elif server.has_server_option or (components is None and current_session().kept is not None):
        with connect(server) as target:
            listed = fetch_components(target)
        if (missing := describe_plugins_without_worker(listed)) is not None:
            note(missing)
        document = schema("flow", components=listed)
    else:
        project = load_project_settings(None)
        if components is None and project.components is not None:
            components = str(require_existing_file(project, "components", project.components))
            note(f"the schema includes the components of {components}, set in {project.file}")
        document = schema("flow", components=None if components is None else read_component_file(components))
    write_document_bytes((json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode(), output)


@click.command("completion", cls=Command)
@click.argument("shell", type=Choice(list(SHELLS)), metavar="bash|zsh|fish")
def completion_command(shell: str) -> None:
    """For bash, add this line to ~/.bashrc:

    \b
      eval "$(stepflow completion bash)"

    For zsh, add it to ~/.zshrc, after compinit:

    \b
      eval "$(stepflow completion zsh)"

    For fish, save the script once:

    \b
      stepflow completion fish > ~/.config/fish/completions/stepflow.fish

    The script completes commands, options, flow files, profiles, settings, the server's runs, and the steps, examples
    and variables of the command's flow.
    """
    click.echo(SHELLS[shell](cli, {}, "stepflow", COMPLETION_VARIABLE).source())
