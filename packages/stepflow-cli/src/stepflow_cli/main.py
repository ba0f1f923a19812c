"""The `stepflow` command group, and the code that turns failures into messages and exit codes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ._version import VERSION
from .errors import EXIT_CODES_HELP, ExitCode, Session, convert_to_problem, find_color_option, usage, wants_json
from .params.click_commands import LazyGroup, list_common_options
from .stdio import flush_stdout_quietly, prepare_standard_streams

_COMMAND_SUMMARIES = {
    "run": "Run a flow and print its output.",
    "batch": "Run a flow on many inputs.",
    "submit": "Run a flow on a running server and print its output.",
    "new": "Create a new flow with a test.",
    "validate": "Validate flows with offline and server-side checks.",
    "infer": "Infer a flow's types: what its steps accept and return.",
    "test": "Run the test cases in flow files.",
    "eval": "Compare variants of a flow by their scores.",
    "lsp": "Run a language server for editing flows and server configurations.",
    "schema": "Print the JSON Schema for flows or server configurations.",
    "codegen": "Generate typed Python objects for flows.",
    "convert": "Convert a flow to YAML or JSON.",
    "visualize": "Draw a flow's graph, without a server.",
    "flows": "Store, list and read flows on a server.",
    "blobs": "Store and read blobs: JSON values and files, addressed by content.",
    "config": "Show and change settings, and manage server profiles.",
    "components": "List, lock and call components, or generate functions for them.",
    "list-components": "Same as 'components list'.",
    "runs": "List, watch, rerun, cancel and save runs, and show why they failed.",
    "history": "List and search the runs started from this machine.",
    "ui": "Show a server's runs, flows and components in your browser.",
    "serve": "Run a Stepflow server until Ctrl-C or SIGTERM.",
    "mcp": "Serve flows as tools for agents.",
    "repl": "Run commands at a prompt, all on the same server.",
    "health": "Show a server's health, release and capabilities.",
    "doctor": "Diagnose why commands don't work, and suggest fixes.",
    "completion": "Print a shell completion script for stepflow.",
}

# Maximum number of files in the working folder that are checked for flows.
_MAX_CHECKED_FILES = 200

COMMAND_SECTIONS = {
    "Run flows": ("run", "batch", "components"),
    "Write flows": ("new", "validate", "infer", "test", "eval", "visualize", "schema", "codegen", "convert"),
    "On a server": ("runs", "history", "flows", "blobs", "health"),
    "Servers": ("serve", "ui", "mcp"),
    "Setup": ("config", "doctor", "completion"),
}
"""The commands listed under each heading in the help."""


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"stepflow {VERSION}")
        ctx.exit()


def _print_commands_for_local_flows() -> None:
    """Suggest commands for flows found in the working folder, but only if standard output is a terminal."""
    if not sys.stdout.isatty():
        return
    from itertools import islice

    from stepflow_client.flows.project import is_flow_file

    from .output.colors_and_escaping import escape

    try:
        files = sorted(path for path in islice(Path().iterdir(), _MAX_CHECKED_FILES) if is_flow_file(path))
    except OSError:
        return
    if files:
        name = shlex.quote(files[0].name)
        lines = [f"run {name}", f"visualize {name}", "validate .", "ui --flows ."]
        click.echo("\nWith the flows in this folder:\n" + "\n".join(f"  stepflow {escape(line)}" for line in lines))


cli = LazyGroup(
    "stepflow",
    summaries=_COMMAND_SUMMARIES,
    package=f"{__package__}.commands",
    shared={
        "list-components": "components",
        "infer": "infer_types",
        **dict.fromkeys(("run", "submit", "batch"), "run_submit_batch"),
        **dict.fromkeys(("codegen", "convert"), "convert_and_codegen"),
        **dict.fromkeys(("lsp", "schema", "completion"), "editor_and_shell_support"),
        **dict.fromkeys(("health", "doctor"), "doctor_and_health"),
    },
    groups=("components", "flows", "blobs", "config", "runs", "history", "mcp"),
    sections=COMMAND_SECTIONS,
    more_help=_print_commands_for_local_flows,
    help="""Run Stepflow flows on a remote or embedded server.

    Only results go to standard output. Everything else goes to standard error.
    """,
    epilog=EXIT_CODES_HELP,
    params=[
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version.",
        ),
        *list_common_options(),
    ],
)
"""The group behind the `stepflow` command."""


@cli.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show a command's help.

    Without a command, show the help for stepflow itself. 'stepflow help runs list' is the same as 'stepflow runs list
    --help'.
    """
    context = ctx.find_root()
    for word in words:
        group = context.command
        if not isinstance(group, LazyGroup):
            path = context.command_path
            raise usage(f"{path} has no command {word}", f"to see its help, run '{path} --help'")
        name, command, _ = group.resolve_command(context, [word])
        assert command is not None
        context = click.Context(command, info_name=name, parent=context, **command.context_settings)
    click.echo(context.get_help())


@cli.command("version")
def version_command() -> None:
    """Show the version."""
    click.echo(f"stepflow {VERSION}")


def run_command_line_and_exit(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    prepare_standard_streams()
    words = sys.argv[1:] if args is None else list(args)
    if "_STEPFLOW_COMPLETE" in os.environ:
        from .shell_completion import register_completion_shells

        register_completion_shells()
        cli.main(words, prog_name="stepflow")
    try:
        code = run_command_line(words, Session(json_errors=wants_json(words), color=find_color_option(words)))
    except BrokenPipeError:
        # The program reading the output has closed the pipe, so the interpreter must not flush the output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.OK
    flush_stdout_quietly()
    sys.exit(code)


def run_command_line(args: list[str], session: Session) -> int:
    """Run a command line, reporting any failure, and return the exit code.

    Args:
        args: The arguments after `stepflow`.
        session: The session. Options on the command line set its fields.

    Raises:
        BrokenPipeError: If the program reading the output has closed the pipe.
    """
    session.server = None
    try:
        code: int = ExitCode.OK
        # Don't use `cli.main`, because it exits with code 1 on a broken pipe.
        try:
            with cli.make_context("stepflow", args, obj=session) as context:
                result = cli.invoke(context)
            code = result if isinstance(result, int) else code
        except click.exceptions.Exit as end:
            code = end.exit_code
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        from .output.messages import print_problem

        problem = convert_to_problem(error)
        if session.verbosity > 1:
            import traceback

            from .output.colors_and_escaping import escape_traceback

            print(escape_traceback(traceback.format_exception(error)), end="", file=sys.stderr)
        print_problem(problem, session)
        flush_stdout_quietly()
        return problem.exit_code
