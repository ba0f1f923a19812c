"""Rerun a command whenever its files change (always on the same server), and print the differences."""

from __future__ import annotations

import difflib
import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout, suppress
from typing import Any

import click
from stepflow_client.flows.reading import is_flow_id

from .errors import ExitCode, convert_to_problem, current_session, usage
from .inputs.file_io import DATA_SUFFIXES, Signature, get_file_signature
from .inputs.flow_loading import is_python_flow, list_flow_module_files, load_project_settings
from .inputs.server_config_checks import read_config_bytes_or_empty
from .output.colors_and_escaping import format_diff_line, uses_color
from .output.messages import note, print_problem
from .server.connect import Target, connect
from .settings.server_choice import ServerOptions, choose_server

# Wait at least this many seconds between polls.
_MIN_POLL_SECONDS = 0.02
# Consider a file complete if it hasn't changed for this many seconds, because editors write a file in several steps.
_SETTLED_SECONDS = 0.1
# Spend at most this share of the time polling.
_MAX_POLL_SHARE = 0.05
_MAX_WATCHED_FILES = 20_000


class WatchedFiles:
    """Keeps track of files and their last known state.

    Args:
        find: A function that returns the files and folders to watch.
    """

    def __init__(self, find: Callable[[], Iterable[str]]) -> None:
        self._find_paths = find
        self._paths = list(find())
        self._snapshot: dict[str, Signature] = {}
        self._snapshot = self._read_signatures()

    @property
    def file_count(self) -> int:
        """The number of watched files that exist."""
        return sum(signature is not None for signature in self._snapshot.values())

    def wait_for_changes(self) -> list[str]:
        """Wait until files have changed since the last call and are completely written, then return their names."""
        while (now := self._read_signatures()) == self._snapshot:
            self._wait_between_polls()
        since = time.monotonic()
        while time.monotonic() - since < _SETTLED_SECONDS:
            self._wait_between_polls()
            later = self._read_signatures()
            if later != now:
                now, since = later, time.monotonic()
        before, self._snapshot = self._snapshot, now
        return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))

    def refresh_file_list(self) -> None:
        """Update the list of files, because changed files may refer to new ones.

        This doesn't lose any changes that haven't been reported yet.
        """
        paths = list(self._find_paths())
        if paths != self._paths:
            self._paths = paths
            self._snapshot = {name: self._snapshot.get(name, each) for name, each in self._read_signatures().items()}

    def _read_signatures(self) -> dict[str, Signature]:
        started = time.monotonic()
        signatures: dict[str, Signature] = {}
        for path in self._paths:
            for name in _iter_yaml_and_json_files(path) if os.path.isdir(path) else (path,):
                now = get_file_signature(name)
                if now is None or now[1]:
                    signatures[name] = now
                elif name in self._snapshot:
                    # Some editors truncate a file before they write it, so ignore changes that leave a file empty.
                    signatures[name] = self._snapshot[name]
                if len(signatures) >= _MAX_WATCHED_FILES:
                    break
        self._poll_seconds = time.monotonic() - started
        return signatures

    def _wait_between_polls(self) -> None:
        time.sleep(max(_MIN_POLL_SECONDS, self._poll_seconds / _MAX_POLL_SHARE))


def _iter_yaml_and_json_files(folder: str) -> Iterable[str]:
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        yield from (os.path.join(inside, name) for name in names if os.path.splitext(name)[1].lower() in DATA_SUFFIXES)


def iter_watched_files(flow: str, server: ServerOptions | None = None) -> Iterator[str]:
    """Yield a flow's files or folder, along with the files that configure how the flow is checked and run.

    Args:
        flow: The flow's file, a folder of flows, or a stored flow's ID.
        server: The server options, so that an embedded server's configuration is included.

    Raises:
        Problem, FlowFileError: If the project's settings are invalid.
    """
    if is_python_flow(flow):
        yield from list_flow_module_files(flow)
    elif not is_flow_id(flow):
        yield flow
    project = load_project_settings(flow)
    for path in (project.file, project.components, project.test_config):
        if path is not None:
            yield str(path)
    if project.file is None and not is_flow_id(flow):
        # There is no project file yet, so watch for one being created.
        yield os.path.join(flow if os.path.isdir(flow) else os.path.dirname(flow), "stepflow.toml")
    choice = None if server is None else choose_server(server, flow)
    if choice is not None and choice.is_embedded:
        from stepflow_client.flows.project import CONFIG_NAMES

        # If there is no configuration yet, watch for one being created.
        possible = (os.path.join(folder, name) for folder in {os.path.dirname(flow), ""} for name in CONFIG_NAMES)
        yield from possible if choice.embedded_config.value is None else (choice.embedded_config.value,)


# Compare at most this many lines, because comparing takes quadratic time.
_MAX_LINES = 2000
_MAX_SHOWN_LINES = 60
_MAX_NAMED = 3


def check_no_stdin(flows: Iterable[str]) -> None:
    """Raise a Problem if any flow is standard input."""
    if "-" in flows:
        raise usage("--watch needs files, because standard input can be read only once")


def rerun_on_changes(
    command: Callable[[], None], find_files: Callable[[], Iterable[str]], *, noise: re.Pattern[str] | None = None
) -> None:
    """Run a command now and whenever a file changes, until the user presses Ctrl-C (which isn't treated as a failure).

    Args:
        command: A function that prints its result to standard output. Its exceptions are printed and don't end the
            loop.
        find_files: A function that returns the files the command reads, or their folders.
        noise: Parts of the result to ignore when comparing.
    """
    files = WatchedFiles(find_files)
    before: str | None = None
    with suppress(KeyboardInterrupt):
        while True:
            result = _run_and_capture(command)
            result = result if noise is None else noise.sub("", result)
            if before is not None:
                _print_result_difference(before, result)
            before = result
            # Keep the old list if any of the files can't be read.
            with suppress(Exception):
                files.refresh_file_list()
            noun = "file" if files.file_count == 1 else "files"
            note(f"watching {files.file_count} {noun}; Ctrl-C stops")
            changed = files.wait_for_changes()
            more = f" and {len(changed) - _MAX_NAMED} more" if len(changed) > _MAX_NAMED else ""
            note(f"{time.strftime('%H:%M:%S')} {', '.join(changed[:_MAX_NAMED])}{more} changed")


class _CopyingStream(io.RawIOBase):
    """Writes to standard output and keeps a copy of everything written."""

    def __init__(self) -> None:
        self._real_stdout = sys.stdout
        self.copy = bytearray()

    def write(self, data: Any) -> int:
        self.copy += data
        written = self._real_stdout.buffer.write(data)
        self._real_stdout.flush()
        return written

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._real_stdout.isatty()

    def fileno(self) -> int:
        return self._real_stdout.fileno()


def _run_and_capture(command: Callable[[], None]) -> str:
    """Run a command and return what it prints, including any failure. The output is printed as usual."""
    copied = _CopyingStream()
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    printed = io.TextIOWrapper(io.BufferedWriter(copied), encoding, errors, newline="", write_through=True)
    failure = None
    # If this round fails before it connects, the message must not mention the previous round's server.
    current_session().server = None
    with redirect_stdout(printed):
        try:
            command()
        except (Exception, KeyboardInterrupt) as error:
            failure = convert_to_problem(error)
        printed.flush()
    text = click.unstyle(copied.copy.decode(encoding, "replace"))
    if failure is None:
        return text
    print_problem(failure)
    if failure.exit_code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return f"{text}{failure.message}\n"


def _print_result_difference(before: str, after: str) -> None:
    if before == after:
        # With --output FILE, nothing is printed, so we can't tell whether the result has changed.
        if after:
            note("same result as before")
        return
    one, other = before.splitlines(), after.splitlines()
    if max(len(one), len(other)) > _MAX_LINES:
        note(f"the result differs from the previous one; results with more than {_MAX_LINES} lines are not compared")
        return
    lines = list(difflib.unified_diff(one, other, "before", "now", lineterm="", n=1))[2:]
    session = current_session()
    for line in lines[:_MAX_SHOWN_LINES] if not session.json_errors and not session.quiet else ():
        text = format_diff_line(line, sys.stderr, session.color)
        click.echo(text, err=True, color=uses_color(sys.stderr, session.color))
    if len(lines) > _MAX_SHOWN_LINES:
        note(f"{len(lines) - _MAX_SHOWN_LINES} more lines differ")


@contextmanager
def keeping_embedded_server(
    options: ServerOptions, flow: str | None = None
) -> Iterator[Callable[[], AbstractContextManager[ServerOptions]]]:
    """Yield a function that opens a round of a watched command. Its embedded server keeps running between rounds.

    The function returns a context manager that yields the server options for that round. The server is started in the
    first round, restarted if its configuration changes, and stopped at the end of the block.

    Args:
        options: The command line's server options.
        flow: The flow's file. Its folder is searched for a server configuration.
    """
    stack, session = ExitStack(), current_session()
    target: Target | None = None
    config: tuple[str | None, bytes] | None = None

    @contextmanager
    def open_round() -> Iterator[ServerOptions]:
        nonlocal target, config
        if session.kept is not None or not choose_server(options).is_embedded:
            yield options
            return
        path = choose_server(options, flow).embedded_config.value
        # Read this before the server starts so that a change during startup triggers a restart in the next round.
        current = (path, read_config_bytes_or_empty(path))
        is_running = target is not None and target.runtime is not None and target.runtime.is_alive
        if not is_running or config != current:
            target = None
            stack.close()
            target = stack.enter_context(connect(options, flow=flow))
            config = current
        session.kept = target
        try:
            yield ServerOptions(default=options.default, reads_project=options.reads_project)
        finally:
            session.kept = None

    with stack:
        yield open_round
