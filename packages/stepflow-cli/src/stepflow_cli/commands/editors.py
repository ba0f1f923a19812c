"""`stepflow lsp` and `stepflow completion`, for editors and shells."""

from __future__ import annotations

import click

from ..completion import SHELLS, VARIABLE
from ..errors import require_extra
from ..main import cli
from ..params.options import Choice, components_option, option
from ..params.parsing import Command


@click.command("lsp", cls=Command)
@components_option
@option("--type-check", "Report types that do not fit as errors and warnings, not only as notes.")
@option("--stdio", "Accepted because editors add it; there is no other way.", hidden=True)
def lsp_command(components: str | None, type_check: bool, stdio: bool) -> None:
    """Editors start this command and talk to it over standard input and output: docs/guides/editors.md shows how.

    It reports the findings of 'validate --offline' (types that do not fit as notes), completes what you type, and
    finds, renames and explains steps, variables, input fields and components. Files that are neither flows nor server
    configurations are left alone.

    A server that STEPFLOW_URL, a profile or the setting 'server' of the editor names also checks flows when they are
    saved. A project cannot name one, and no server is started.

    Components and other settings are those of the flow's project, as in 'validate'; --components takes precedence.

    Needs the extra stepflow-cli[lsp].
    """
    require_extra("'stepflow lsp'", "lsp", "pygls")
    if components is not None:
        from ..validation.flow_checks import load_components

        load_components(components)
    from ..lsp.server import serve

    serve(components, type_check=type_check)


@click.command("completion", cls=Command)
@click.argument("shell", type=Choice(list(SHELLS)), metavar="bash|zsh|fish")
def completion_command(shell: str) -> None:
    """For bash, put this line into ~/.bashrc:

    \b
      eval "$(stepflow completion bash)"

    For zsh, put it into ~/.zshrc, behind compinit:

    \b
      eval "$(stepflow completion zsh)"

    For fish, write the script once:

    \b
      stepflow completion fish > ~/.config/fish/completions/stepflow.fish

    It completes commands, options, flow files, the steps, examples and variables of the flow on the line, runs of the
    server, profiles and settings.
    """
    click.echo(SHELLS[shell](cli, {}, "stepflow", VARIABLE).source())
