"""Taking results from this user's cache, if the command line asks for it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stepflow_client import ExecutionStatus, FlowResult
from stepflow_client._base.text import without_password
from stepflow_client._command import completed, flow_variables, run_arguments
from stepflow_client._data.secrets import quotes_secret
from stepflow_client.flows.needs import needs_of

from ..errors import usage
from ..output.messages import note
from ..server.connect import kept_server
from ..settings.server_choice import ServerOptions, choose_server

if TYPE_CHECKING:
    from stepflow_client import ResultCache

    from .job import Caching, Job


def open_cache(caching: Caching, server: ServerOptions, flow: str) -> JobCache:
    """Return this user's cache; the file is opened by the first lookup.

    Args:
        caching: The cache options of the command line.
        server: The server options: results of one server are not used for another.
        flow: The flow's file.

    Raises:
        Problem: If the server settings contradict each other.
    """
    from stepflow_client import ResultCache

    more: dict[str, Any] = {} if caching.max_age is None else {"max_age": caching.max_age}
    place = _place(server, flow)
    return JobCache(ResultCache(namespace=place, refresh=caching.refresh, on_failure=note, **more))


def _place(server: ServerOptions, flow: str) -> str:
    """Return a text that identifies a server: its URL, or the configuration of an embedded one."""
    from stepflow_client._command import is_read_once

    kept = kept_server(server)
    if kept is not None:
        return f"server {kept.client.url}" if kept.runtime is None else _embedded(json.dumps(kept.runtime.config))
    choice = choose_server(server, flow)
    if not choice.is_embedded:
        return f"server {without_password(str(choice.url.value))}"
    config = choice.config.value
    if config is not None and is_read_once(config):
        raise usage("--cache needs a configuration that can be read twice, to tell servers apart", "save it as a file")
    try:
        with open(config or os.devnull, "rb") as file:
            return _embedded(file.read())
    except OSError:
        # The server will report the error.
        return _embedded(str(config))


def _embedded(config: bytes | str) -> str:
    content = config.encode() if isinstance(config, str) else config
    return f"embedded {hashlib.sha256(content).hexdigest()}"


class JobCache:
    """The cache in the form that commands use."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    def find(self, job: Job) -> FlowResult | None:
        """Return a job's result from the cache; None if it has none, or the job's flow is not read yet."""
        if self._cache.refresh or job.unread is not None:
            return None
        return self._found(self._key(job)[0])

    def result(self, job: Job, execute: Callable[[], FlowResult]) -> FlowResult:
        """Return a job's result: the cached one, or that of a run, which is then cached."""
        key, variables = self._key(job)
        found = None if self._cache.refresh else self._found(key)
        if found is not None:
            tell(found)
            return found
        result = execute()
        if result.is_success and _may_keep(job, variables, result):
            self._cache._file.keep(key, result.run_id, result.output)
        return result

    def _found(self, key: str) -> FlowResult | None:
        found = self._cache._file.find(key)
        if found is None:
            return None
        time = datetime.fromtimestamp(found.created, UTC)
        return FlowResult(run_id=found.run_id, status=ExecutionStatus.COMPLETED, output=found.output, cached_at=time)

    def _key(self, job: Job) -> tuple[str, dict[str, Any]]:
        """Return the key of a job and the variables that it runs with."""
        given = run_arguments([job.input], job.variables, job.overrides, None)
        needs = needs_of(job.flow, flow_variables(job.flow))
        # The values were checked when they were read.
        arguments = completed(given, needs, os.environ if job.variables_from_env else None, check_values=False)
        return self._cache._file.key(job.flow_id or job.flow, arguments), arguments.variables


def tell(result: FlowResult) -> None:
    """Print on standard error that a result is from the cache."""
    note(f"this is the result of run {result.run_id}, from the cache; --refresh runs the flow again")


def _may_keep(job: Job, variables: dict[str, Any], result: FlowResult) -> bool:
    return not quotes_secret(result.output, variables, flow_variables(job.flow), job.flow)
