"""Finding runs and their servers: by an id, its beginning, or `@last`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..errors import Problem, usage
from ..exit_codes import ExitCode
from ..output.messages import note
from ..server.connect import Target, connect, is_listening, kept_server
from ..settings.history import history_setting, open_history
from ..settings.server_choice import ServerOptions, Setting, choose_server, urls_of_server

if TYPE_CHECKING:
    from stepflow_client import FlowResult, RunDetails, SyncStepflowClient
    from stepflow_client.history import HistoryEntry

_CANDIDATES = 5
"""Number of runs listed if a beginning is ambiguous."""
_TIMEOUT = 2.0
"""Seconds for the response of an embedded server, which may have stopped."""
_OTHER = "name a run of this flow: 'stepflow history list' shows the runs with their flows"
_DASHES = (8, 13, 18, 23)
"""Positions of the dashes in a run id."""
_CLOCK = timedelta(seconds=2)
"""Maximum difference between the time in the id of a run and its creation time."""


def is_whole(text: str) -> bool:
    """Return whether a text is a complete run id."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def place_of(text: str) -> int:
    """Return the position in the history that `@last`, `@2` and so on stand for, with 0 for the newest run."""
    return 0 if text == "@last" else int(text[1:]) - 1


class EndedRunError(Problem):
    """A run was on an embedded server that has stopped: only the history knows it."""

    def __init__(self, text: str, entry: HistoryEntry) -> None:
        message = f"{text} is {_described(entry)} on an embedded server, which has stopped"
        hint = "'stepflow history show' shows what is recorded; a run on 'stepflow serve' can be used again"
        super().__init__(message, kind="server_stopped", exit_code=ExitCode.NO_SERVER, run_id=entry.run_id, hint=hint)
        self.entry = entry

    def results(self) -> list[FlowResult]:
        """Return the results of the items of the run, computed from the outputs of the steps that the history has.

        Raises:
            Problem: If it has not completed, or the history lacks what its output reads.
        """
        from stepflow_client import ExecutionStatus, FlowResult
        from stepflow_client.flows.interpreter import (
            BROKEN,
            Failure,
            NotKnownError,
            RecordedEvaluation,
            StepRun,
            flow_with,
        )

        entry = self.entry
        outputs, inputs = open_history().kept_outputs(entry.run_id), entry.input
        try:
            if entry.status != "completed" or entry.flow is None or outputs is None or "input" in entry.omitted:
                raise NotKnownError("")
            flow, results = flow_with(entry.flow, entry.overrides), []
            listed: list[dict[str, Any]] = flow.get("steps") or []
            steps = {str(step["id"]): (place, step) for place, step in enumerate(listed)}
            for kept, given in zip(outputs, inputs if isinstance(inputs, list) else [inputs], strict=True):
                ran = {each: StepRun(steps[each][1], steps[each][0], 1, output) for each, output in kept.items()}
                output = RecordedEvaluation(flow, given, entry.variables or {}, ran).value(flow.get("output"))
                results.append(FlowResult(run_id=entry.run_id, status=ExecutionStatus.COMPLETED, output=output))
        except (Failure, NotKnownError, ValueError, *BROKEN):
            status = f"status {entry.status}" if entry.status else "no status"
            message = f"the history has no result of run {entry.run_id}, only its input and {status}"
            raise Problem(
                message, kind=self.kind, exit_code=self.exit_code, run_id=entry.run_id, hint=self.hint
            ) from None
        return results


@contextmanager
def connect_to_runs(
    server: ServerOptions, texts: Sequence[str], *, says: bool = False
) -> Iterator[tuple[Target, list[str]]]:
    """Connect to the server of runs, and yield it with their ids, in order and without duplicates.

    `@last`, `@2` and so on are the newest runs that this machine started, on whichever server; the newest of one server
    if an option names it.

    Args:
        server: The server options of the command line.
        texts: The ids, their beginnings, `@last`, `@2` and so on.
        says: Whether to print which runs `@last`, `@2` and so on are, for commands that change or repeat runs.

    Raises:
        Problem: If a run cannot be found, if runs are on different servers, or as for `connect` and `resolve_run_id`.
    """
    entries = {} if server.is_named else {each: _recorded(each) for each in texts if each.startswith("@")}
    with connect(_server_of(entries, server)) as target:
        if server.is_named:
            entries = {each: _recorded(each, target.client.url) for each in texts if each.startswith("@")}
        for text, entry in entries.items():
            if entry.is_embedded and _has_stopped(target, entry):
                raise EndedRunError(text, entry)
            if says:
                note(f"{text} is {_described(entry)} on {target.choice.explained}")
        ids = [entries[each].run_id if each in entries else resolve_run_id(target.client, each) for each in texts]
        yield target, list(dict.fromkeys(ids))


@contextmanager
def connect_to_run(server: ServerOptions, text: str, *, says: bool = False) -> Iterator[tuple[Target, str]]:
    """Connect to the server of a run, and yield it with the run's id, as `connect_to_runs` does.

    Raises:
        Problem: As for `connect_to_runs`.
    """
    with connect_to_runs(server, [text], says=says) as (target, (run_id,)):
        yield target, run_id


def check_flow_of(target: Target, run_id: str, flow: Mapping[str, Any], written: Mapping[str, Any], name: str) -> None:
    """Check that a flow is that of a run, or a later version of it.

    Args:
        target: The server.
        run_id: The run.
        flow: The flow of the run.
        written: The other flow.
        name: Its file or id.

    Raises:
        Problem: If it has another name, or no name and no step in common.
    """
    entry = target.history.get(run_id)
    if entry is not None and entry.flow_file is not None and entry.flow_file == str(Path(name).absolute()):
        return
    names = flow.get("name"), written.get("name")
    if all(names) and names[0] != names[1]:
        raise usage(f"{name} is flow {names[1]}, and run {run_id} is of flow {names[0]}", _OTHER)
    ids = [{step.get("id") for step in each.get("steps") or ()} for each in (flow, written)]
    if not all(names) and all(ids) and ids[0].isdisjoint(ids[1]):
        raise usage(f"{name} has no step of the flow of run {run_id}", _OTHER)


def _server_of(entries: Mapping[str, HistoryEntry], server: ServerOptions) -> ServerOptions:
    """Return the options of the server that has recorded runs."""
    urls = {entry.server: text for text, entry in entries.items() if entry.server is not None}
    if not urls:
        return server
    if len(urls) > 1:
        (one, first), (other, second), *_ = urls.items()
        raise usage(f"{first} is a run on {one}, {second} one on {other}", "give runs of one server")
    (url, text) = urls.popitem()
    kept = kept_server(server)
    current = kept.client.url if kept is not None else choose_server(server).url.value
    if url in urls_of_server(str(current)):
        return server
    return server._replace(of_run=Setting("url", url, text))


def _has_stopped(target: Target, entry: HistoryEntry) -> bool:
    """Return whether the embedded server of a run has stopped. Another program may have its port now."""
    from stepflow_client import NotFoundError, TransportError

    from ..settings.urls import split_url

    if target.runtime is not None and target.runtime.url == entry.server:
        return False
    _, host, port = split_url(entry.server or "")
    if not is_listening(host, port):
        return True
    try:
        target.client.get_run(entry.run_id, timeout=_TIMEOUT)
    except (NotFoundError, TransportError):
        return True
    return False


def _described(entry: HistoryEntry) -> str:
    name = entry.flow.get("name") if entry.flow else None
    flow = name or (entry.flow_file and PurePath(entry.flow_file).name) or (entry.flow_id or "")[:12]
    return f"run {entry.run_id}{f' of flow {flow}' if flow else ''}"


def resolve_run_id(client: SyncStepflowClient, text: str) -> str:
    """Return the id with this beginning; a complete id is returned without a request.

    Args:
        client: The client to list runs with.
        text: The id, or its beginning.

    Raises:
        Problem: If no run's id begins with the text (exit code 1), or several do (exit code 2; the hint lists them).
    """
    if is_whole(text):
        return text
    found: list[str] = []
    for run_id in _beginning_with(client, text):
        found.append(run_id)
        if len(found) > _CANDIDATES:
            break
    if len(found) == 1:
        return found[0]
    if not found:
        message = f"no run's id begins with {text}"
        raise Problem(message, kind="not_found", hint="'stepflow runs list' shows them")
    more = " ..." if len(found) > _CANDIDATES else ""
    raise usage(f"several run ids begin with {text}", f"it may be {', '.join(found[:_CANDIDATES])}{more}")


def recorded_id(text: str) -> str:
    """Return the id that `@last`, `@2` and so on stand for, among the runs of all servers.

    Raises:
        Problem: If the history has too few runs, or if the position is that of a batch of several runs.
    """
    return _recorded(text).run_id


def _recorded(text: str, url: str | None = None) -> HistoryEntry:
    """Return the recorded run at a position, counting only runs of one server if a URL is given."""
    servers = None if url is None else urls_of_server(url)
    entries = open_history().search(server=servers, limit=1, offset=place_of(text))
    if entries and entries[0].has_more_runs:
        hint = "its output names the run of each input; 'stepflow runs list' shows them"
        raise usage(f"{text} is a batch of several runs, of which {entries[0].run_id} is the first", hint)
    if entries and not entries[0].is_confirmed:
        hint = "'stepflow runs list' shows the runs of the server, 'stepflow history list' older ones"
        raise Problem(f"it is not known whether run {text} was created", kind="not_found", hint=hint)
    if entries:
        return entries[0]
    is_off = history_setting().value == "off"
    hint = "recording is off: stepflow config set history on" if is_off else "'stepflow history list' shows all of it"
    raise Problem(f"the history has no run {text}" + ("" if url is None else f" of {url}"), kind="not_found", hint=hint)


def is_id_prefix(text: str) -> bool:
    """Return whether a text in lower case is the beginning of a run id, of at least four digits."""
    return 4 <= len(text) < 36 and all(
        each == "-" if place in _DASHES else each in "0123456789abcdef" for place, each in enumerate(text)
    )


def is_shown(run: RunDetails, word: str) -> bool:
    """Return whether a word of a query is in what lists show of a run: the name of its flow, and its id."""
    wanted = word.casefold()
    is_found = wanted in (run.flow_name or "").casefold() or wanted in (run.flow_id, run.run_id)
    return is_found or (is_id_prefix(wanted) and run.run_id.startswith(wanted))


def created_between(text: str) -> tuple[datetime, datetime | None] | None:
    """Return between which times the runs were created whose ids begin with a text; None if no id can.

    Args:
        text: The beginning of an id, which is that of a time.

    Returns:
        The first time, and the last one; None for no limit.
    """
    digits = text.replace("-", "")[:12]
    since, until = _time(int(digits.ljust(12, "0"), 16)), _time(int(digits.ljust(12, "f"), 16))
    if since is None:
        return None
    return since - _CLOCK if since.year > 1970 else since, None if until is None else until + _CLOCK


def _beginning_with(client: SyncStepflowClient, text: str) -> Iterator[str]:
    span = created_between(text)
    if span is None:
        return
    for run in client.iter_runs(since=span[0], until=span[1]):
        if run.run_id.startswith(text):
            yield run.run_id


def _time(milliseconds: int) -> datetime | None:
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None
