"""This user's result cache, for `--cache`."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from stepflow_client._base.text import format_url_without_credentials
from stepflow_client._command import (
    check_and_complete_arguments,
    parse_flow_variables,
    parse_run_arguments,
    remove_cases,
)
from stepflow_client._data.secrets import contains_secret
from stepflow_client.flows.run_requirements import find_requirements

from ..errors import usage
from ..output.messages import note
from ..records.print_results import print_run_result
from ..server.connect import get_session_server
from ..settings.server_choice import ServerOptions, choose_server

if TYPE_CHECKING:
    from stepflow_client import FlowResult, ResultCache

    from .job import Job
    from .run_options import CacheOptions


def open_result_cache(options: CacheOptions, server: ServerOptions, flow: str) -> JobCache:
    """Return this user's cache, which opens its file on first lookup.

    Args:
        options: The command line's cache options.
        server: The server options. Results aren't shared between servers.
        flow: The flow's file.

    Raises:
        Problem: If the server settings contradict each other.
    """
    from stepflow_client import ResultCache

    more: dict[str, Any] = {} if options.max_age is None else {"max_age": options.max_age}
    namespace = _compute_server_identity(server, flow)
    return JobCache(ResultCache(namespace=namespace, refresh=options.refresh, on_failure=note, **more))


def _compute_server_identity(server: ServerOptions, flow: str) -> str:
    """Return a string that identifies a server: its URL, or a digest of an embedded server's configuration."""
    from stepflow_client._command import is_read_once

    kept = get_session_server(server)
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
            # Leave it to the server to report the error.
            content = str(config).encode()
    return f"embedded {hashlib.sha256(content).hexdigest()}"


class JobCache:
    """A result cache that looks up and stores results by job."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    def find_result(self, job: Job) -> FlowResult | None:
        """Return a job's cached result, or None if there isn't one or the job's flow hasn't been fetched."""
        if self._cache.refresh or job.has_unloaded_flow:
            return None
        return self._cache._find_result(self._compute_cache_key(job)[0])

    def print_cached_result(self, job: Job) -> bool:
        """Print a job's cached result and return True, or return False if there is none."""
        result = self.find_result(job)
        if result is None:
            return False
        print_run_result(result, job.options.output)
        note(f"this is the result of run {result.run_id}, from the cache; to run the flow again, use --refresh")
        return True

    def store_result(self, job: Job, result: FlowResult) -> None:
        """Cache a successful run's result, unless the output contains a secret."""
        key, variables = self._compute_cache_key(job)
        declared = parse_flow_variables(job.flow)
        if result.is_success and not contains_secret(result.output, variables, declared, job.flow):
            self._cache._store_result(key, result.run_id, result.output)

    def _compute_cache_key(self, job: Job) -> tuple[str, dict[str, Any]]:
        """Return the job's cache key, along with the run's variables, which are part of the key."""
        given = parse_run_arguments([job.input], job.variables, job.overrides, None)
        needs = find_requirements(job.flow, parse_flow_variables(job.flow))
        environment = os.environ if job.options.values.variables_from_env else None
        # Values were already checked when they were read.
        arguments = check_and_complete_arguments(given, needs, environment, check_values=False)
        return self._cache._compute_key(job.flow_id or remove_cases(job.flow), arguments), arguments.variables
