"""Finds runs and their servers by ID, ID prefix or `@last`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..errors import ExitCode, Problem, usage
from ..output.messages import note
from ..server.connect import Target, connect, get_server_kept_by_session, is_port_open
from ..settings.run_history import find_hint_if_off, open_history
from ..settings.server_choice import ServerOptions, Setting, choose_server, list_equivalent_urls

if TYPE_CHECKING:
    from stepflow_client import FlowResult, RunDetails, SyncStepflowClient
    from stepflow_client.history import HistoryEntry

# Maximum number of runs to list if a prefix is ambiguous.
_MAX_NAMED = 5
# Timeout in seconds for a request to an embedded server, which may have stopped.
_TIMEOUT = 2.0
_OTHER_RUN_HINT = "name a run of this flow; to see runs with their flows, run 'stepflow history list'"
# The positions of the dashes in a run ID.
_DASH_POSITIONS = (8, 13, 18, 23)
# Maximum difference between a run's creation time and the time contained in its ID.
_MAX_CLOCK_SKEW = timedelta(seconds=2)


def is_complete_run_id(text: str) -> bool:
    """Return whether a string is a complete run ID, not just its first few digits."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def parse_history_position(text: str) -> int:
    """Return the position in the history that `@last`, `@2` and so on refer to. The newest run is at position 0."""
    return 0 if text == "@last" else int(text[1:]) - 1


class StoppedServerError(Problem):
    """The run was on an embedded server that has stopped, so only the history still has it."""

    def __init__(self, text: str, entry: HistoryEntry) -> None:
        message = f"{text} is {_describe_recorded_run(entry)} on an embedded server, which has stopped"
        hint = "to see what is recorded, run 'stepflow history show'; a run on 'stepflow serve' can be used again"
        super().__init__(message, kind="server_stopped", exit_code=ExitCode.NO_SERVER, run_id=entry.run_id, hint=hint)
        self.entry = entry

    def compute_results_from_history(self) -> list[FlowResult]:
        """Compute the results of the run's items from the step outputs in the history.

        Raises:
            Problem: If the run has not completed, or if the history lacks values that the output needs.
        """
        from stepflow_client import ExecutionStatus, FlowResult
        from stepflow_client.flows.interpreter import (
            EXPRESSION_ERRORS,
            Failure,
            NotKnownError,
            RecordedInterpreter,
            StepRun,
            apply_overrides_if_valid,
        )

        entry = self.entry
        outputs, inputs = open_history().kept_outputs(entry.run_id), entry.input
        try:
            if entry.status != "completed" or entry.flow is None or outputs is None or "input" in entry.omitted:
                raise NotKnownError("")
            flow, results = apply_overrides_if_valid(entry.flow, entry.overrides), []
            listed: list[dict[str, Any]] = flow.get("steps") or []
            steps = {str(step["id"]): (place, step) for place, step in enumerate(listed)}
            for kept, given in zip(outputs, inputs if isinstance(inputs, list) else [inputs], strict=True):
                ran = {name: StepRun(steps[name][1], steps[name][0], 1, output) for name, output in kept.items()}
                output = RecordedInterpreter(flow, given, entry.variables or {}, ran).evaluate(flow.get("output"))
                results.append(FlowResult(run_id=entry.run_id, status=ExecutionStatus.COMPLETED, output=output))
        except (Failure, NotKnownError, ValueError, *EXPRESSION_ERRORS):
            status = f"status {entry.status}" if entry.status else "no status"
            text, code = f"the history has no result of run {entry.run_id}, only its input and {status}", self.exit_code
            raise Problem(text, kind=self.kind, exit_code=code, run_id=entry.run_id, hint=self.hint) from None
        return results


@contextmanager
def connect_to_runs(
    server: ServerOptions, texts: Sequence[str], *, announce_runs: bool = False
) -> Iterator[tuple[Target, list[str]]]:
    """Connect to the server that has these runs, and yield it along with their IDs (in order and without duplicates).

    `@last`, `@2` and so on count back from the newest run that was started on this machine. If an option selects a
    server, only runs on that server count.

    Args:
        server: The server options from the command line.
        texts: IDs, ID prefixes, `@last`, `@2` and so on.
        announce_runs: Whether to print which runs `@last`, `@2` and so on refer to. Set this for commands that change
            or repeat runs.

    Raises:
        Problem: If a run can't be found, if the runs are on different servers, or if `connect` or `expand_run_id`
            raises one.
    """
    is_named = server.has_server_option
    entries = {} if is_named else {text: find_history_run_by_position(text) for text in texts if text.startswith("@")}
    # The history may have recorded one server under several URLs.
    servers = {
        min(list_equivalent_urls(entry.server), default=""): (entry.server, text)
        for text, entry in entries.items()
        if entry.server is not None
    }
    if len(servers) > 1:
        (one, first), (other, second), *_ = servers.values()
        raise usage(f"{first} is a run on {one}, but {second} is on {other}", "use runs on the same server")
    for url, text in servers.values():
        kept = get_server_kept_by_session(server)
        current = kept.client.url if kept is not None else choose_server(server).url.value
        if url not in list_equivalent_urls(str(current)):
            server = server._replace(run_server=Setting("url", url, text))
    with connect(server) as target:
        if is_named:
            entries = {
                text: find_history_run_by_position(text, target.client.url) for text in texts if text.startswith("@")
            }
        for text, entry in entries.items():
            if entry.is_embedded and _has_server_stopped(target, entry):
                raise StoppedServerError(text, entry)
            if announce_runs:
                note(f"{text} is {_describe_recorded_run(entry)} on {target.choice.explanation}")
        ids = [entries[text].run_id if text in entries else expand_run_id(target.client, text) for text in texts]
        yield target, list(dict.fromkeys(ids))


@contextmanager
def connect_to_run(server: ServerOptions, text: str, *, announce_runs: bool = False) -> Iterator[tuple[Target, str]]:
    """Connect to the server that has a run, and yield it along with the run's ID. See `connect_to_runs`.

    Raises:
        Problem: For the same reasons as in `connect_to_runs`.
    """
    with connect_to_runs(server, [text], announce_runs=announce_runs) as (target, (run_id,)):
        yield target, run_id


def check_flow_matches_run(
    target: Target, run_id: str, flow: Mapping[str, Any], other: Mapping[str, Any], name: str
) -> None:
    """Check that a flow is the one that a run executed, or another version of it.

    Args:
        target: The server.
        run_id: The run.
        flow: The run's flow.
        other: The flow to compare it with.
        name: The file or ID of the other flow.

    Raises:
        Problem: If the flows have different names, or if one has no name and they have no step in common.
    """
    entry = target.history.get(run_id)
    if entry is not None and entry.flow_file is not None and entry.flow_file == str(Path(name).absolute()):
        return
    names = flow.get("name"), other.get("name")
    if all(names) and names[0] != names[1]:
        raise usage(f"{name} is flow {names[1]}, but run {run_id} is of flow {names[0]}", _OTHER_RUN_HINT)
    ids = [{step.get("id") for step in version.get("steps") or ()} for version in (flow, other)]
    if not all(names) and all(ids) and ids[0].isdisjoint(ids[1]):
        raise usage(f"{name} has no step of the flow of run {run_id}", _OTHER_RUN_HINT)


def _has_server_stopped(target: Target, entry: HistoryEntry) -> bool:
    """Return whether a run's embedded server has stopped.

    Don't rely on its port, which another program may be using by now.
    """
    from stepflow_client import NotFoundError, TransportError

    from ..settings.profiles import split_scheme_host_and_port

    if target.runtime is not None and target.runtime.url == entry.server:
        return False
    _, host, port = split_scheme_host_and_port(entry.server or "")
    if not is_port_open(host, port):
        return True
    try:
        target.client.get_run(entry.run_id, timeout=_TIMEOUT)
    except (NotFoundError, TransportError):
        return True
    return False


def _describe_recorded_run(entry: HistoryEntry) -> str:
    name = entry.flow.get("name") if entry.flow else None
    flow = name or (entry.flow_file and PurePath(entry.flow_file).name) or (entry.flow_id or "")[:12]
    return f"run {entry.run_id}{f' of flow {flow}' if flow else ''}"


def expand_run_id(client: SyncStepflowClient, text: str) -> str:
    """Return the run ID that starts with this prefix. A complete ID is returned without sending a request.

    Raises:
        Problem: If no run ID starts with the text (exit code 1), or if several do (exit code 2, with a hint that lists
            them).
    """
    if is_complete_run_id(text):
        return text
    ids: list[str] = []
    span = get_prefix_creation_time_range(text)
    if span is not None:
        runs = client.iter_runs(since=span[0], until=span[1])
        ids = list(islice((run.run_id for run in runs if run.run_id.startswith(text)), _MAX_NAMED + 1))
    if not ids:
        hint = "to see run IDs, run 'stepflow runs list'"
        raise Problem(f"no run ID begins with {text}", kind="not_found", hint=hint)
    if len(ids) > 1:
        more = " ..." if len(ids) > _MAX_NAMED else ""
        raise usage(f"several run IDs begin with {text}", f"use one of these: {', '.join(ids[:_MAX_NAMED])}{more}")
    return ids[0]


def find_history_run_by_position(text: str, url: str | None = None) -> HistoryEntry:
    """Return the run that `@last`, `@2` and so on refer to. If `url` is set, only runs on that server count.

    Raises:
        Problem: If the history has too few runs, the run is unconfirmed, or it is a batch of more than one run.
    """
    servers = None if url is None else list_equivalent_urls(url)
    entries = open_history().search(server=servers, limit=1, offset=parse_history_position(text))
    if not entries:
        off_hint = find_hint_if_off()
        hint = f"recording is off: {off_hint}" if off_hint else "to see the recorded runs, run 'stepflow history list'"
        where = "" if url is None else f" of {url}"
        raise Problem(f"the history has no run {text}{where}", kind="not_found", hint=hint)
    (entry,) = entries
    if entry.has_more_runs:
        hint = "its output names the run of each input; to see the runs, run 'stepflow runs list'"
        raise usage(f"{text} is a batch of several runs; the first is {entry.run_id}", hint)
    if not entry.is_confirmed:
        hint = "to see the server's runs, run 'stepflow runs list'; for older ones, run 'stepflow history list'"
        raise Problem(f"it is unknown whether run {text} was created", kind="not_found", hint=hint)
    return entry


def is_run_id_prefix(text: str) -> bool:
    """Return whether a lowercase string can be the start of a run ID and has at least four digits."""
    return 4 <= len(text) < 36 and all(
        each == "-" if place in _DASH_POSITIONS else each in "0123456789abcdef" for place, each in enumerate(text)
    )


def run_matches_query_word(run: RunDetails, word: str) -> bool:
    """Return whether a word of a query matches a run's flow name, flow ID or run ID."""
    text = word.casefold()
    if text in (run.flow_name or "").casefold() or text in (run.flow_id, run.run_id):
        return True
    return is_run_id_prefix(text) and run.run_id.startswith(text)


def get_prefix_creation_time_range(prefix: str) -> tuple[datetime, datetime | None] | None:
    """Return the range in which runs with this ID prefix were created, or None if no run ID can start with it.

    This works because a run ID starts with the time at which the run was created.

    Returns:
        The start and end of the range. The end is None if the range has no upper limit.
    """
    digits = prefix.replace("-", "")[:12]
    first, last = (int(digits.ljust(12, filler), 16) / 1000 for filler in "0f")
    try:
        since = datetime.fromtimestamp(first, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    until = None
    with suppress(OverflowError, ValueError, OSError):
        until = datetime.fromtimestamp(last, UTC) + _MAX_CLOCK_SKEW
    return since - _MAX_CLOCK_SKEW if since.year > 1970 else since, until
