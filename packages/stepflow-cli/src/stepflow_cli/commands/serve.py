"""`stepflow serve`."""

from __future__ import annotations

import queue
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..errors import ExitCode, Problem, current_session, usage
from ..output.colors_and_escaping import escape_lines_for_terminal
from ..output.messages import note, noting_worker_warnings, show_spinner
from ..output.printing import Output
from ..output.record_views import View, columns
from ..params.click_commands import Command
from ..params.options import FILE, SECONDS, SERVER, port_option, record_options
from ..settings.server_choice import DEFAULT_PORT
from ..signals import STOP, using_stop_signal_handler

_SERVER_VIEW = View(columns("url", "pid:number"), name="url")
_PORT_IN_USE_TEXTS = ("address already in use", "address in use", "os error 98", "os error 48")


@click.command("serve", cls=Command)
@port_option(DEFAULT_PORT, SERVER)
@SERVER.option("--all-interfaces", "Let other machines reach the port, without authentication.")
@SERVER.option(
    "--config FILE",
    "Use this server configuration. [default: stepflow-config.yml in the working folder, else the builtin components]",
    type=FILE,
)
@SERVER.option(
    "--worker-timeout SECONDS",
    "Wait this long for workers that connect on their own. [default: do not wait]",
    type=SECONDS,
)
@SERVER.option(
    "--restart WHEN",
    "Restart the server on the same port if it exits: never, on-failure or always. [default: never]",
    type=click.Choice(["never", "on-failure", "always"]),
    default="never",
)
@SERVER.option(
    "--otlp-endpoint URL",
    "Send traces from the server and its workers to this OpenTelemetry collector, such as http://localhost:4317.",
)
@SERVER.option(
    "--allow-load-file", "Let flows read any file that the server can read; works only without a configuration."
)
@record_options
def command(
    port: int,
    all_interfaces: bool,
    config: str | None,
    worker_timeout: float | None,
    restart: str,
    otlp_endpoint: str | None,
    allow_load_file: bool,
    output: Output,
) -> None:
    """The server has no authentication: anyone who can reach the port can run flows with any configured component, and
    read all runs and blobs. On Linux 5.7 and newer, only this machine can reach the port unless you pass
    --all-interfaces. On macOS, and in containers that forbid the necessary system calls, the server listens on all
    interfaces and says so. Without a configuration, /builtin/load_file is denied because it can read any file. Client
    variables, such as STEPFLOW_TOKEN, aren't passed to the server.

    Unless you configure a store, flows and runs are lost when the server stops. With an SQLite store, it resumes
    unfinished runs on the next start (up to 100, unless recovery.maxStartupRecovery is larger). Once the server and its
    workers are ready, its URL is printed to standard error and, with -o json, also as one line to standard output. To
    see its logs, use -v, --log-level or --log-file. By default, a server without workers logs only warnings and errors,
    because logging each step slows it down. To print a run's logs, use 'stepflow runs logs'.
    """
    from stepflow_client import LogConfig, RestartPolicy, ServerStartError, StepflowRuntime
    from stepflow_client.flows.project import find_server_config

    from ..inputs.server_config_checks import find_recovery_warnings, note_duplicate_config_keys
    from ..server.server_log_files import keeping_logs

    level, policy = current_session().server_log_level, RestartPolicy(restart.replace("-", "_"))
    crashes: queue.SimpleQueue[tuple[int, list[str]]] = queue.SimpleQueue()
    if config is None and (path := find_server_config(Path())) is not None:
        config = str(path)
    if allow_load_file and config is not None:
        raise usage(f"--allow-load-file only works without a configuration; {config} defines what flows can use")
    if config is not None:
        note_duplicate_config_keys(config)
        for hazard, hint in find_recovery_warnings(config):
            note(f"{config}: {hazard}; {hint}")
    try:
        with suppress(_Stopped), using_stop_signal_handler(_raise_on_signal), keeping_logs(), noting_worker_warnings():
            runtime = StepflowRuntime.start(
                config,
                port=port or None,
                worker_timeout=worker_timeout,
                allow_load_file=allow_load_file,
                all_interfaces=all_interfaces,
                otlp_endpoint=otlp_endpoint,
                log_config=LogConfig(level=level),  # type: ignore[arg-type]
                restart_policy=policy,
                max_restarts=sys.maxsize,
                on_crash=lambda code, tail: crashes.put((code, tail)),
            )
            try:
                with show_spinner("starting the server"):
                    runtime.wait_ready()
                where = " and on all other interfaces" if runtime.is_exposed else ", for this machine only"
                message = f"The server listens on {runtime.url}{where}, without authentication; Ctrl-C stops it."
                print(f"{message}\nexport STEPFLOW_URL={runtime.url}", file=sys.stderr, flush=True)
                if output.format:
                    # Write the JSON on one line so that a waiting program can read it right away.
                    form = "jsonl" if output.format == "json" else output.format
                    output._replace(format=form).print_record({"url": runtime.url, "pid": runtime.pid}, _SERVER_VIEW)
                    sys.stdout.flush()
                code, tail = crashes.get()
                while policy.covers(code):
                    note(f"the server exited unexpectedly (exit code {code}); restarting it")
                    code, tail = crashes.get()
                raise _crash_problem(f"the server exited unexpectedly (exit code {code})", "embedded_server", tail)
            finally:
                runtime.stop()
    except ServerStartError as error:
        text = f"{error.message} {' '.join(error.log_tail)}".lower()
        if port and any(words in text for words in _PORT_IN_USE_TEXTS):
            hint = "choose a different one with --port, or 0 for any free port"
            code = ExitCode.NO_SERVER
            raise Problem(f"port {port} is in use", kind="port_in_use", exit_code=code, hint=hint) from error
        if error.__cause__ is not None:
            # The server rejected its configuration. The cause says which line is at fault.
            raise
        # Don't show the log if the message already gives the reason.
        raise _crash_problem(error.message, "server_start", [] if ": " in error.message else error.log_tail) from error


class _Stopped(BaseException):
    """Raised when a stop signal arrives. It's a `BaseException` so that no other code catches it."""


def _raise_on_signal(number: int, frame: Any) -> None:
    # Don't let a second signal interrupt the shutdown.
    for ignored in STOP:
        signal.signal(ignored, signal.SIG_IGN)
    raise _Stopped


def _crash_problem(message: str, kind: str, tail: list[str]) -> Problem:
    last = "\n".join(tail)
    if tail and not current_session().json_errors:
        print(escape_lines_for_terminal(last), file=sys.stderr)
        last = ""
    return Problem(message, kind=kind, exit_code=ExitCode.NO_SERVER, hint=last or None)
