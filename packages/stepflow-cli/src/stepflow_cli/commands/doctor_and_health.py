"""`stepflow health` and `stepflow doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from stepflow_client.types.model_base import to_plain_data

from ..errors import ExitCode, Problem, convert_to_problem, current_session
from ..output.messages import show_spinner
from ..output.printing import Output
from ..output.record_views import View, columns
from ..params.click_commands import Command
from ..params.options import DURATION, WAITING, option, output_options, record_options, server_options
from ..server.connect import connect
from ..settings.server_choice import ServerOptions, choose_server

if TYPE_CHECKING:
    from ..doctor import CheckResult

# Timeout in seconds for checking components without --wait. Every unreachable worker adds 5 s to the response time.
_CHECK_TIMEOUT_SECONDS = 10.0

_HEALTH_VIEW = View(columns("url", "status:status", "release", "commit", "time:time", "capabilities"), name="url")


@click.command("health", cls=Command)
@WAITING.option(
    "--component PATH", "Require this component, such as /python/summarize. Repeatable.", to="components", multiple=True
)
@WAITING.option(
    "--wait TIME",
    "Wait up to this long for the server and its components: 90s or 5m. [default: 10s with --component, else none]",
    type=DURATION,
)
@server_options(default="server")
@record_options
def health_command(components: tuple[str, ...], wait: float | None, server: ServerOptions, output: Output) -> None:
    """The exit code is 1 if the server isn't healthy.

    Use --wait to wait until the server responds and offers every --component. Without --component, the command waits
    until all plugins have workers.
    """
    with connect(server) as target:
        if components or wait is not None:
            target.client.wait_ready(components, timeout=_CHECK_TIMEOUT_SECONDS if wait is None else wait)
        health = target.client.health_check()
        info = target.client.server_info()
    record = {
        "url": info.url,
        "status": health.status,
        "release": info.release or health.version,
        "commit": info.commit,
        "dialect": info.dialect,
        "time": to_plain_data(health.timestamp),
        "capabilities": info.capabilities,
    }
    output.print_record(record, _HEALTH_VIEW)
    if health.status != "healthy":
        raise Problem(f"the server is {health.status}", kind="unhealthy")


_CHECK_VIEW = View(columns("check", "status:status", "message"), name="check", fields=("hint",))
# The human-readable table. Its `found` column combines the message and the hint.
_CHECK_TABLE_VIEW = View(columns("check", "status:status", "found"), folds=True)


@click.command("doctor", cls=Command)
@option("--no-run", "Do not create a run to measure the event stream.")
@server_options(default="embedded", reads_project=True)
@output_options
def doctor_command(no_run: bool, server: ServerOptions, output: Output) -> None:
    """The command checks this machine and the server that 'run' would use:

    \b
      this machine   versions, stepflow on PATH, profiles, the configuration
                     of an embedded server, whether it can start
      connection     the server and the setting that names it, proxies,
                     the server's name, port and certificate
      the server     release, authorization, clock, missing workers,
                     whether something buffers its event stream

    If --url, a profile or STEPFLOW_URL selects the server, a short run named stepflow-doctor measures the event stream
    (on 0.12 and newer).

    The exit code is 0 if no check fails, 4 if there's no server or it rejects the credentials, 2 if a setting is
    invalid, and 1 for other failures.
    """
    from ..settings.list_settings import abbreviate_home_folder

    with show_spinner("running the checks") as spinner:
        checks: list[CheckResult] = []
        for check in _run_doctor_checks(server, measure=not no_run):
            checks.append(check)
            spinner.update(f"{check.check}: {check.status}")
    records = [{name: getattr(check, name) for name in ("check", "status", "message", "hint")} for check in checks]
    if output.format in (None, "table") and not output.fields:
        for record in records:
            record["found"] = abbreviate_home_folder("; ".join(filter(None, (record["message"], record["hint"]))))
        output.print_records(records, _CHECK_TABLE_VIEW)
    else:
        output.print_records(records, _CHECK_VIEW)
    failed = [check for check in checks if check.status == "error"]
    if failed:
        codes = [ExitCode(check.exit_code) for check in failed]
        code = ExitCode.NO_SERVER if ExitCode.NO_SERVER in codes else codes[0]
        message = f"{len(failed)} of {len(checks)} checks failed: {', '.join(check.check for check in failed)}"
        # The table already shows the hint.
        hint = failed[0].hint if current_session().json_errors else None
        raise Problem(message, kind="unhealthy", exit_code=code, hint=hint)


def _run_doctor_checks(server: ServerOptions, *, measure: bool) -> Iterator[CheckResult]:
    from ..doctor import error, local_setup, network
    from ..doctor.server import check_server

    yield from local_setup.check_versions_and_path()
    configuration, profiles = local_setup.check_profiles()
    yield configuration
    try:
        # Even if the file is invalid, a flag or an environment variable may select a server.
        choice = choose_server(server, profiles=profiles)
    except Problem as problem:
        if profiles is None:
            yield local_setup.check_embedded_server()
            return
        yield error("server", problem.message, problem.hint, exit_code=problem.exit_code)
        return
    yield from local_setup.check_server_config(choice)
    if not choice.is_embedded:
        yield local_setup.check_embedded_server()
    yield local_setup.report_server_choice(choice)
    if not choice.is_embedded:
        proxy, proxy_url = network.check_proxy(choice)
        yield proxy
        for check in network.check_server_network(choice, proxy_url):
            yield check
            if check.status == "error":
                return
    try:
        with connect(server) as target:
            if choice.is_embedded:
                yield local_setup.report_embedded_server_release(target.client)
            yield from check_server(target.client, choice, skip_reason=None if measure else "--no-run")
    except Exception as raised:
        failure = convert_to_problem(raised)
        # An invalid token in a profile is detected before we contact the server.
        name = "authorization" if isinstance(raised, Problem) else "stepflow"
        name = "embedded server" if choice.is_embedded else name
        yield error(name, failure.message, failure.hint, exit_code=failure.exit_code)
