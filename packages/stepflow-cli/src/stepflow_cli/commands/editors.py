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
@option("--type-check", "Report type mismatches as errors and warnings, not just as notes.")
@option("--stdio", "Use standard input and output; accepted because editors pass it.", hidden=True)
def lsp_command(components: str | None, type_check: bool, stdio: bool) -> None:
    """Editors start this command and talk to it over standard input and output: docs/guides/editors.md shows how.

    It reports the findings of 'validate --offline' (type mismatches as notes), completes what you type, and finds,
    renames and explains steps, variables, input fields and components. Files that are neither flows nor server
    configurations are left alone.

    If STEPFLOW_URL, a profile or the editor's setting 'server' names a server, it also checks flows when they are
    saved. A project cannot name a server, and none is started.

    Components and other settings come from the flow's project, as in 'validate'; --components takes precedence.

    Needs the extra stepflow-cli[lsp].
    """
    require_extra("'stepflow lsp'", "lsp", "pygls")
    if components is not None:
        from ..validation.flow_checks import load_component_types

        load_component_types(components)
    from ..lsp.server import serve

    serve(components, type_check=type_check)


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

    It completes commands, options, flow files, the steps, examples and variables of the flow being typed, the server's
    runs, profiles and settings.
    """
    click.echo(SHELLS[shell](cli, {}, "stepflow", VARIABLE).source())
