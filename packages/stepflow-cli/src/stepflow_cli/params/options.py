"""The options that commands share. Each decorator adds options and passes the command one argument for all of them:

    @click.command("get", cls=Command)
    @click.argument("run_id", metavar="RUN")
    @server_options(default="server")
    @output_options
    def command(run_id: str, server: ServerOptions, output: Output) -> None:

The options of commands that run a flow are in `params.flow`.
"""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ..completion.candidates import complete_profiles
from ..context import current_session
from ..errors import takes_file, usage
from ..output.safety import printable
from ..output.view import FORMATS, Output
from ..runs.wait import Wait
from ..settings.server_choice import DEFAULT_URL, Default, ServerOptions
from .parsing import FILE, Choice, Option
from .times import seconds_option

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_in(*names: str, section: str, **settings: Any) -> Decorator:
    """Return a decorator that adds an option, which `--help` lists under a heading."""
    return click.option(*names, cls=Option, section=section, **settings)


def together(
    argument: str, build: Callable[..., Any], *decorators: Decorator, own: Sequence[str] | None = None
) -> Decorator:
    """Return a decorator that adds parameters and passes the command the result of `build` with their values.

    Args:
        argument: The argument of the command.
        build: Receives the values by name.
        decorators: Add the parameters.
        own: The names of the values, if decorators among them pass other ones than their parameters.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(**values: Any) -> Any:
            values[argument] = build(**{name: values.pop(name) for name in names})
            return function(**values)

        return _decorated(call, decorators)

    params = click.command()(_decorated(lambda: None, decorators)).params
    names = own or [parameter.name or "" for parameter in params]
    return decorate


def _decorated(function: Callable[..., Any], decorators: Sequence[Decorator]) -> Callable[..., Any]:
    return functools.reduce(lambda inner, decorator: decorator(inner), reversed(decorators), function)


_CONFIG = {False: "", True: "config in stepflow.toml, else "}


def server_options(
    default: Default, *, is_needed: bool = True, reads_project: bool = False
) -> Callable[[Function], Function]:
    """Add --url, --profile, --local and --config; the command gets `server`, a `ServerOptions` for `connect`.

    Args:
        default: Where the command runs by default: `embedded`, or `server` for the server at localhost.
        is_needed: Whether the command contacts a server even if no option names one.
        reads_project: Whether an embedded server may have the configuration that the project names.
    """
    said = "embedded" if default == "embedded" else DEFAULT_URL
    url = f" [env: STEPFLOW_URL; default: {said}]" if is_needed else ""
    profile = " [env: STEPFLOW_PROFILE]" if is_needed else ""
    return together(  # type: ignore[return-value]
        "server",
        functools.partial(ServerOptions, default=default, reads_project=reads_project),
        option_in(
            "--url",
            section="Server",
            metavar="URL",
            help=f"The server's URL, or local for that of 'stepflow serve'.{url}",
        ),
        option_in(
            "--profile",
            section="Server",
            metavar="NAME",
            shell_complete=complete_profiles,
            help=f"The profile that names the server.{profile}",
        ),
        option_in("--local", is_flag=True, section="Server", help="An embedded server that ends with the command."),
        option_in(
            "--config",
            type=FILE,
            section="Server",
            metavar="FILE",
            help=f"The embedded server's configuration; implies --local. [default: {_CONFIG[reads_project]}"
            "stepflow-config.yml beside the flow, else in the working folder, else the builtin components]",
        ),
    )


def changed_profile_option(function: Function) -> Function:
    """Add --profile for commands that change a profile; the command gets `profile`, its name or None."""
    decorate = option_in(
        "--profile",
        section="Server",
        metavar="NAME",
        shell_complete=complete_profiles,
        help="The profile to change. [default: the current one]",
    )
    return decorate(function)  # type: ignore[return-value]


def _read_format(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        current_session().json_errors = value in ("json", "jsonl")
    return value


def _read_json(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        current_session().json_errors = True
    return value


_JSON = option_in(
    "--json",
    "json_fields",
    section="Output",
    metavar="A,B.C",
    callback=_read_json,
    help="The same as -o json --fields A,B.C.",
)


def output_options(function: Function) -> Function:
    """Add -o/--format and --fields; the command gets `output`, an `Output`."""
    return formatted_output()(function)


def file_output_options(function: Function) -> Function:
    """Add -O/--output FILE, -o/--format and --fields; the command gets `output`, an `Output` that goes to the file."""
    file = file_option("Write the result to this file, - for standard output.", "path")
    return together("output", _output, file, *_format_options())(function)  # type: ignore[return-value]


def file_option(help: str, name: str = "output", *, metavar: str = "FILE", **more: Any) -> Decorator:
    """Return a decorator that adds -O/--output FILE; the command gets the file's name, or None."""
    return option_in("-O", "--output", name, type=FILE, section="Output", metavar=metavar, help=help, **more)


check_option = option_in(
    "--check", is_flag=True, section="Output", help="Write nothing; fail where FILE is not what would be written."
)
"""Adds --check for commands that write a file; the command gets `check`."""


def format_option(names: Sequence[str], help: str, **more: Any) -> Decorator:
    """Return a decorator that adds -o/--format FORMAT; the command gets the word, or None."""
    return option_in("-o", "--format", type=_Format(names), section="Output", metavar="FORMAT", help=help, **more)


class _Format(Choice):
    """The name of a format. The error for a file name says where it belongs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the matching word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            if ctx is not None and any(each in str(value) for each in "./"):
                file = shlex.quote(str(value))
                way = f"-O {file} names the file" if takes_file(ctx.command) else f"add > {file} to write a file"
                error.hint = f"-o is the format; {way}"  # type: ignore[attr-defined]
            raise


def _output(
    format: str | None,
    fields: str | None,
    json_fields: str | None,
    wide: bool,
    full_ids: bool,
    path: str | None = None,
) -> Output:
    if json_fields is not None:
        if format not in (None, "json") or fields is not None:
            raise usage("--json FIELDS stands for -o json --fields FIELDS: it cannot be combined with them")
        format, fields = "json", json_fields
    names = [name.strip() for name in fields.split(",")] if fields is not None else []
    # Without --format, a file still gets only the value: its extension selects how it is written, not what.
    by_ending = {"yaml": "yaml", "yml": "yaml", "jsonl": "jsonl"}.get((path or "").lower().rpartition(".")[2])
    output = Output(format=format, fields=names, path=path, value_format=None if format else by_ending)
    output = output._replace(wide=wide, full_ids=full_ids)
    output.check()
    return output


def formatted_output(**aliases: str) -> Callable[[Function], Function]:
    """Add -o/--format and --fields, like `output_options`.

    Args:
        **aliases: Further names of formats, for example `pretty="table"`.
    """

    def build(format: str | None, **given: Any) -> Output:
        return _output(aliases.get(format or "", format), **given)

    return together("output", build, *_format_options(*aliases))  # type: ignore[return-value]


def _format_options(*aliases: str) -> list[Decorator]:
    names = [*FORMATS, *aliases]
    return [
        format_option(
            names,
            f"Output format: {', '.join(names)}. With json and jsonl errors are JSON too.",
            callback=_read_format,
        ),
        option_in("--fields", section="Output", metavar="A,B.C", help="Print only these fields."),
        _JSON,
        option_in(
            "--wide",
            is_flag=True,
            section="Output",
            help="Do not shorten columns of a table, however long its lines are.",
        ),
        option_in(
            "--full-ids", is_flag=True, section="Output", help="Do not shorten run ids in a table on a narrow terminal."
        ),
    ]


components_option = click.option(
    "--components",
    cls=Option,
    type=FILE,
    metavar="FILE",
    help="Take the components from the file that 'components lock' wrote, not from a server.",
)
"""Adds --components FILE; the command gets `components`, the file's name or None."""
offline_option = click.option(
    "--offline",
    cls=Option,
    is_flag=True,
    help="Do not use a server: the components are the builtin ones, and those of --components or of the project.",
)
"""Adds --offline; the command gets `offline`."""


def port_option(default: int, section: str) -> Decorator:
    """Return a decorator that adds --port; the command gets `port`."""
    return option_in(
        "--port",
        type=click.IntRange(0, 65_535),
        default=default,
        section=section,
        metavar="PORT",
        help=f"The port to listen on; 0 takes a free port. [default: {default}]",
    )


def host_option(section: str) -> Decorator:
    """Return a decorator that adds --host; the command gets `host`."""
    return option_in(
        "--host",
        default="127.0.0.1",
        section=section,
        metavar="HOST",
        help="The address to listen on. Others than loopback let other machines reach it, unencrypted. "
        "[default: 127.0.0.1]",
    )


def limit_option(what: str, *, default: int | None = None, section: str = "Options") -> Decorator:
    """Return a decorator that adds -n/--limit; the command gets `limit`, the number or None.

    Args:
        what: What is counted, for the help.
        default: The number that applies if none is given; it is not passed to the command.
        section: The heading in the help.
    """
    said = f" [default: {default}]" if default else ""
    return option_in(
        "-n",
        "-L",
        "--limit",
        type=click.IntRange(min=1),
        section=section,
        metavar="N",
        help=f"Maximum number of {what}.{said}",
    )


watch_option = option_in(
    "--watch", is_flag=True, section="Output", help="On a terminal: redraw the table every 2 s, until Ctrl-C."
)
"""Adds --watch; the command gets `watch`, and calls `output.watching.check_watch` before it sends a request."""


def time_limit_option(help: str, section: str = "Waiting") -> Decorator:
    """Return a decorator that adds --timeout; the command gets `timeout`, a number of seconds or None."""
    return seconds_option("--timeout", help, section=section)


_TIMEOUT = time_limit_option(
    "How long to wait for the run to end; a run on a server continues after that. [default: no limit]"
)


def timeout_option(function: Function) -> Function:
    """Add --timeout; the command gets `wait`, a `Wait`. Ctrl-C ends the wait but not the run."""
    return together("wait", Wait, _TIMEOUT)(function)  # type: ignore[return-value]


def wait_options(function: Function) -> Function:
    """Add --timeout, --on-interrupt and --cancel-on-interrupt; the command gets `wait`, a `Wait`."""

    def build(timeout: float | None, on_interrupt: str | None, cancel_on_interrupt: bool) -> Wait:
        if cancel_on_interrupt and on_interrupt == "detach":
            raise usage("--cancel-on-interrupt and --on-interrupt detach cannot be combined")
        return Wait(timeout, "cancel" if cancel_on_interrupt or on_interrupt == "cancel" else "detach")

    decorate = together(
        "wait",
        build,
        _TIMEOUT,
        option_in(
            "--on-interrupt",
            type=Choice(["detach", "cancel"]),
            section="Waiting",
            help="What Ctrl-C does to a run on a server: it continues, or is cancelled. [default: detach]",
        ),
        option_in("--cancel-on-interrupt", is_flag=True, section="Waiting", help="The same as --on-interrupt cancel."),
    )
    return decorate(function)  # type: ignore[return-value]


Confirm = Callable[[str], None]
"""Asks before something is destroyed: `confirm("delete run ...")` returns on yes and raises a `Problem` on no."""


def confirm_option(function: Function) -> Function:
    """Add -y/--yes; the command gets `confirm`, which it calls with a description of the action."""

    def build(yes: bool) -> Confirm:
        def confirm(deed: str) -> None:
            if yes:
                return
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise usage(f"this would {deed}, and there is no terminal to ask on", "add --yes")
            # `click.confirm` would write to standard output.
            click.echo(f"{printable(deed[:1].upper() + deed[1:])}? [y/N] ", nl=False, err=True)
            answer = ""
            try:
                answer = sys.stdin.readline()
            finally:
                if not answer.endswith("\n"):
                    # After Ctrl-C or Ctrl-D, the cursor is still on the line of the question.
                    click.echo(err=True)
            if answer.strip().lower() not in ("y", "yes"):
                raise usage(f"not confirmed: did not {deed}")

        return confirm

    decorate = together(
        "confirm",
        build,
        option_in("-y", "--yes", is_flag=True, section="Output", is_risky=True, help="Do it without asking."),
    )
    return decorate(function)  # type: ignore[return-value]
