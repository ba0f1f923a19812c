"""`stepflow doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ..context import current_session
from ..errors import Problem, problem_of
from ..exit_codes import ExitCode
from ..output.messages import waiting
from ..output.view import Output, View, columns
from ..params.options import output_options, server_options
from ..params.parsing import Command
from ..params.sections import option
from ..server.connect import connect
from ..settings.server_choice import ServerOptions, choose_server

if TYPE_CHECKING:
    from ..checks import Check
    from ..settings.server_choice import ServerChoice

_CHECKS = View(columns=columns("check", "status:status", "message"), name="check", fields=("hint",))
_TABLE = View(columns=columns("check", "status:status", "found"), folds=True)
"""The table for people; `found` combines the message and the hint."""


@click.command("doctor", cls=Command)
@option("--no-run", "Create no run; the event stream is not measured then.")
@server_options(default="embedded", reads_project=True)
@output_options
def command(no_run: bool, server: ServerOptions, output: Output) -> None:
    """It checks the server that 'run' would use, with its configuration:

    \b
      this machine   versions, stepflow on PATH, profiles, the configuration
                     of an embedded server, whether it can start
      connection     the server and the setting that names it, proxies,
                     the server's name, port and certificate
      the server     release, authorisation, clock, missing workers,
                     whether something buffers its event stream

    To measure the event stream it creates a run named stepflow-doctor that sleeps for 1.5 s, if --url,
    a profile or STEPFLOW_URL names the server.

    The exit code is 0 if no check fails, 4 if there is no server or it rejects the credentials, else 1.
    """
    from ..settings.display import home_as_tilde

    with waiting("running the checks") as spinner:
        checks: list[Check] = []
        for check in _checks(server, measure=not no_run):
            checks.append(check)
            spinner.update(f"{check.check}: {check.status}")
    records = [{name: getattr(each, name) for name in ("check", "status", "message", "hint")} for each in checks]
    if output.format in (None, "table") and not output.fields:
        rows = [{**each, "found": home_as_tilde(_found(each["message"], each["hint"]))} for each in records]
        output.records(rows, _TABLE)
    else:
        output.records(records, _CHECKS)
    _judge(checks)


def _found(message: str, hint: str | None) -> str:
    return f"{message}; {hint}" if hint else message


def _checks(server: ServerOptions, *, measure: bool) -> Iterator[Check]:
    from ..checks import error, network

    yield from network.versions()
    configuration, profiles = network.configuration()
    yield configuration
    try:
        # Even without the file, a flag or the environment may name the server.
        choice = choose_server(server, profiles=profiles)
    except Problem as problem:
        if profiles is None:
            yield network.embedded_server()
            return
        yield error("server", problem.message, problem.hint, exit_code=problem.exit_code)
        return
    yield from network.server_configuration(choice)
    if not choice.is_embedded:
        yield network.embedded_server()
    yield network.server(choice)
    yield from _server_checks(server, choice, measure=measure)


def _server_checks(server: ServerOptions, choice: ServerChoice, *, measure: bool) -> Iterator[Check]:
    from ..checks import error, network
    from ..checks.server import server_checks

    if not choice.is_embedded:
        proxy, proxy_url = network.proxy(choice)
        yield proxy
        for check in network.network_checks(choice, proxy_url):
            yield check
            if check.status == "error":
                return
    try:
        with connect(server) as target:
            if choice.is_embedded:
                yield network.started(target.client)
            yield from server_checks(target.client, choice, unmeasured=None if measure else "by --no-run")
    except Exception as failure:
        problem = problem_of(failure)
        # An invalid token of a profile is detected before the server is queried.
        about = "authorisation" if isinstance(failure, Problem) else "stepflow"
        yield error(
            "embedded server" if choice.is_embedded else about,
            problem.message,
            problem.hint,
            exit_code=problem.exit_code,
        )


def _judge(checks: list[Check]) -> None:
    """Raise if a check failed."""
    failed = [each for each in checks if each.status == "error"]
    if not failed:
        return
    codes = [ExitCode(each.exit_code) for each in failed]
    raise Problem(
        f"{len(failed)} of {len(checks)} checks failed: {', '.join(each.check for each in failed)}",
        kind="unhealthy",
        exit_code=ExitCode.NO_SERVER if ExitCode.NO_SERVER in codes else codes[0],
        # The table already shows the hint.
        hint=failed[0].hint if current_session().json_errors else None,
    )
