"""`stepflow lsp` and `stepflow completion`, for editors and shells."""

from __future__ import annotations

import click

from ..completion import SHELLS, VARIABLE
from ..errors import require_extra
from ..main import cli
from ..params.click_commands import Command
from ..params.options import Choice, components_option, option


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
    save them. A project can't name a server, and none is started.

    As in 'validate', components and other settings come from the flow's project; --components takes precedence.

    This requires the stepflow-cli[lsp] extra.
    """
    require_extra("'stepflow lsp'", "lsp", "pygls")
    if components is not None:
        from ..validation.flow_checks import load_component_types_from_file

        load_component_types_from_file(components)
    from ..lsp.server import serve_editor

    serve_editor(components, type_check=type_check)


@click.command("completion", cls=Command)
@click.argument("shell", type=Choice(list(SHELLS)), metavar="bash|zsh|fish")
def completion_command(shell: str) -> None:
    """For bash, add this line to ~/.bashrc:

    \b
      eval "$(stepflow completion bash)"

    For zsh, add it to ~/.zshrc, after compinit:

    \b
      eval "$(stepflow completion zsh)"

    For fish, write the script once:

    \b
      stepflow completion fish > ~/.config/fish/completions/stepflow.fish

    The script completes commands, options, flow files, profiles, settings, the server's runs, and the steps, examples
    and variables of the flow you're typing.
    """
    click.echo(SHELLS[shell](cli, {}, "stepflow", VARIABLE).source())
