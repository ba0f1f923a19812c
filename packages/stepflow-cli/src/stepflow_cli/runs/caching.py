"""The user's result cache, which `--cache` turns on."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from stepflow_client._base.text_formatting import format_url_without_credentials
from stepflow_client._command import (
    check_and_complete_arguments,
    parse_declared_variables,
    parse_run_arguments,
    remove_cases,
)
from stepflow_client._data.secrets import contains_secret
from stepflow_client.flows.run_requirements import find_requirements

from ..errors import usage
from ..output.messages import note
from ..records.print_results import print_run_result
from ..server.connect import get_server_kept_by_session
from ..settings.server_choice import ServerOptions, choose_server

if TYPE_CHECKING:
    from stepflow_client import FlowResult, ResultCache

    from .job_from_options import Job
    from .run_options import CacheOptions


def open_result_cache(options: CacheOptions, server: ServerOptions, flow: str) -> JobCache:
    """Return the user's cache, which opens its file when it is first used.

    Args:
        options: The cache options from the command line.
        server: The server options. Each server has its own results.
        flow: The flow's file.

    Raises:
        Problem: If the server settings conflict, or if the server's configuration can only be read once.
    """
    from stepflow_client import ResultCache

    more: dict[str, Any] = {} if options.max_age is None else {"max_age": options.max_age}
    namespace = _compute_server_identity(server, flow)
    return JobCache(ResultCache(namespace=namespace, refresh=options.refresh, on_failure=note, **more))


def _compute_server_identity(server: ServerOptions, flow: str) -> str:
    """Return a string that identifies a server: its URL, or a digest of an embedded server's configuration."""
    from stepflow_client._command import is_read_once

    kept = get_server_kept_by_session(server)
    if kept is not None and kept.runtime is None:
        return f"server {kept.client.url}"
    if kept is not None and kept.runtime is not None:
        content = json.dumps(kept.runtime.config).encode()
    else:
        choice = choose_server(server, flow)
        if not choice.is_embedded:
            return f"server {format_url_without_credentials(str(choice.url.value))}"
        config = choice.embedded_config.value
        if config is not None and is_read_once(config):
            message = "--cache needs a configuration that can be read twice, to tell servers apart"
            raise usage(message, "save it as a file")
        try:
            with open(config or os.devnull, "rb") as file:
                content = file.read()
        except OSError:
            # Ignore the error here, because the server will report it.
            content = str(config).encode()
    return f"embedded {hashlib.sha256(content).hexdigest()}"


class JobCache:
    """A result cache that looks up and stores results by job."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    def find_result(self, job: Job) -> FlowResult | None:
        """Return a job's cached result.

        Return None if there isn't one, or if the job's flow hasn't been fetched yet.
        """
        if self._cache.refresh or job.has_unloaded_flow:
            return None
        return self._cache._find_result(self._compute_cache_key(job)[0])

    def print_cached_result(self, job: Job) -> bool:
        """Print a job's cached result and return True. If there is none, return False."""
        result = self.find_result(job)
        if result is None:
            return False
        print_run_result(result, job.options.output)
        note(f"this is the result of run {result.run_id}, from the cache; to run the flow again, use --refresh")
        return True

    def store_result(self, job: Job, result: FlowResult) -> None:
        """Cache a run's result if it succeeded and the output doesn't contain a secret."""
        key, variables = self._compute_cache_key(job)
        declared = parse_declared_variables(job.flow)
        if result.is_success and not contains_secret(result.output, variables, declared, job.flow):
            self._cache._store_result(key, result.run_id, result.output)

    def _compute_cache_key(self, job: Job) -> tuple[str, dict[str, Any]]:
        """Return a job's cache key along with the run's variables, which the key depends on."""
        given = parse_run_arguments([job.input], job.variables, job.overrides, None)
        needs = find_requirements(job.flow, parse_declared_variables(job.flow))
        environment = os.environ if job.options.values.variables_from_env else None
        # Don't check the values again. They were checked when they were read.
        arguments = check_and_complete_arguments(given, needs, environment, check_values=False)
        return self._cache._compute_key(job.flow_id or remove_cases(job.flow), arguments), arguments.variables
