"""Creating at most one run under a key given by the caller, across all processes."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .._codec import answers, requests
from .._codec.idempotency import Marker, check_key, input_digest, input_marker, run_marker, tag_of, use_marker
from .._codec.requests import Variables
from .._codec.variables import flow_variables
from .._rules.creation import tagged
from .._rules.deadline import current_deadline, has_passed
from .._rules.releases import require
from .._stores.recorder import Recorder
from .._tracing import annotate
from ..errors import AmbiguousRunError, InvalidArgumentError, NotFoundError, RequestTimeoutError, StepflowClientError
from ..flows.file import is_flow_id
from .blobs import BlobStore
from .connection import Connection
from .creation import RunCreator
from .flows import FlowStore
from .listing import RunLister
from .runs import RunReader

if TYPE_CHECKING:
    from ..flows.file import FlowSource
    from ..types import RunDetails

__all__ = ["KeyedRuns"]

_ON_THE_WAY = 0.5
"""Seconds in which a request of a killed process may still create a run."""
_TURN = 0.01
"""Seconds between checks whether another call of this client has finished with a key."""
_PAGE = 500
"""Number of runs per request in a search."""


class _Keyed(NamedTuple):
    """A flow, and the id of its copy that carries a key."""

    flow: dict[str, Any]
    digest: bytes
    flow_id: str
    key: str

    @property
    def name(self) -> str | None:
        name = self.flow.get("name")
        return name if isinstance(name, str) and name else None


class KeyedRuns:
    """Creates and finds runs under keys given by the caller.

    Args:
        connection: The connection.
        flows: The flows of the client.
        creator: Creates runs.
        runs: Reads runs.
        lister: Lists runs.
        blobs: Stores and reads blobs.
        recorder: Records the runs.
    """

    def __init__(
        self,
        connection: Connection,
        flows: FlowStore,
        creator: RunCreator,
        runs: RunReader,
        lister: RunLister[RunDetails],
        blobs: BlobStore,
        recorder: Recorder,
    ) -> None:
        self._connection = connection
        self._flows = flows
        self._creator = creator
        self._runs = runs
        self._lister = lister
        self._blobs = blobs
        self._recorder = recorder

    async def find(self, flow: FlowSource, key: str) -> RunDetails | None:
        """Return the run that exists under a key; None if there is none."""
        content, digest = self._checked(flow, key)
        keyed = await self._stored(content, digest, key)
        found = await self._noted(keyed)
        if found is not None or not await self._is_there(use_marker(keyed.flow_id)):
            return found
        return await self._searched(keyed)

    async def start(
        self,
        flow: FlowSource,
        input: Any,
        overrides: Any,
        variables: Variables | None,
        variables_from_env: bool,
        *,
        key: str,
        max_concurrency: int | None,
        wait: int | None,
    ) -> answers.Started:
        """Return the run that exists under a key, or create it.

        Args:
            flow: The flow.
            input: The input, or a list of them.
            overrides: Changes to steps.
            variables: Values of the flow's variables.
            variables_from_env: Whether to read missing variables from the environment.
            key: The key.
            max_concurrency: Maximum number of tasks executed at the same time.
            wait: Seconds that the server may hold the request until the run ends; None for an immediate response.
        """
        content, digest = self._checked(flow, key)
        annotate(flow_name=content.get("name"))
        arguments = await self._creator.arguments(input, variables, overrides, max_concurrency)
        needs = self._flows.needs_of_flow(content, digest)
        arguments = requests.completed(arguments, needs, os.environ, variables_from_env)
        for again in (True, False):
            keyed = await self._stored(content, digest, key)
            claims = self._flows.registries.current
            turn = run_marker(keyed.flow_id).content
            while not claims.start_storing(turn):
                # Calls of one client take turns.
                if has_passed(current_deadline()):
                    other = f"another call of this client under the idempotency key {key!r} had not ended"
                    raise RequestTimeoutError(f"{other} when the time was over")
                await asyncio.sleep(_TURN)
            try:
                run = await self._found_or_created(keyed, arguments, flow, wait)
            except NotFoundError:
                # A server that was restarted without a persistent store has lost the flow.
                self._flows.forget(keyed.flow_id)
                if not again:
                    raise
            else:
                annotate(run_id=run.run_id)
                return run
            finally:
                claims.stop_storing(turn)
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def _checked(self, flow: FlowSource, key: str) -> tuple[dict[str, Any], bytes]:
        check_key(key)
        if is_flow_id(flow):
            raise InvalidArgumentError("an idempotency key needs the flow itself, not its id: the flow carries the key")
        return self._flows.checked(flow)

    async def _stored(self, content: dict[str, Any], digest: bytes, key: str) -> _Keyed:
        require(await self._connection.server(), "blobs", "an idempotency key needs flow ids that can be found again")
        flow_id = await self._flows.store_accepted(content, tagged(content, tag_of(key)), digest)
        return _Keyed(content, digest, flow_id, key)

    async def _found_or_created(
        self, keyed: _Keyed, arguments: requests.RunArguments, source: FlowSource, wait: int | None
    ) -> answers.Started:
        declared = flow_variables(keyed.flow)
        mine = input_marker(keyed.flow_id, input_digest(arguments, declared))
        is_same = await self._is_there(mine)
        if is_same or await self._is_there(use_marker(keyed.flow_id)):
            noted = await self._noted(keyed)
            found = noted or await self._searched(keyed)
            if found is None:
                # The process that stored the marker may have been killed while its request was on the way.
                await asyncio.sleep(_ON_THE_WAY)
                found = await self._searched(keyed)
            if found is not None and not is_same:
                raise InvalidArgumentError(
                    f"run {found.run_id} exists under the idempotency key {keyed.key!r}, with another input, other "
                    "variables or other overrides",
                    run_id=found.run_id,
                    hint="a key stands for one call; find_run() returns its run",
                )
            if found is not None:
                run = answers.Started(found.run_id, found.status, [])
                return run if noted is not None else await self._first_of(keyed, run)
        for marker in (use_marker(keyed.flow_id), mine):
            await self._blobs.store_blob(marker.content)
        return await self._created(keyed, arguments, source, wait)

    async def _created(
        self, keyed: _Keyed, arguments: requests.RunArguments, source: FlowSource, wait: int | None
    ) -> answers.Started:
        declared = flow_variables(keyed.flow)
        self._flows.registries.current.reserve(keyed.flow_id)
        output = keyed.flow.get("output")
        try:
            run = await self._creator.create(
                keyed.flow_id, arguments, answers.started, declared=declared, output=output, wait=wait
            )
        except AmbiguousRunError as error:
            # Regardless of which call created the run: all runs of this flow belong to this key.
            found = await self._searched(keyed) if error.candidates else None
            if found is None:
                error.hint = "the same call with this idempotency key finds the run, if there is one"
                raise
            run = answers.Started(found.run_id, found.status, [])
        self._recorder.created(run.run_id, keyed.flow_id, arguments, source, keyed.flow)
        return await self._first_of(keyed, run)

    async def _first_of(self, keyed: _Keyed, run: answers.Started) -> answers.Started:
        """Record the run of a key and return the recorded one, which may be that of another, simultaneous call.

        Stores in a file keep the first filename of a blob, stores in memory the last one.
        """
        marker = run_marker(keyed.flow_id)
        # The run exists: if it cannot be recorded, a search finds it.
        with suppress(StepflowClientError):
            await self._blobs.store_blob(marker.content, filename=run.run_id)
            noted = await self._noted(keyed)
            if noted is not None and noted.run_id != run.run_id:
                return answers.Started(noted.run_id, noted.status, [])
        return run

    async def _noted(self, keyed: _Keyed) -> RunDetails | None:
        try:
            noted = await self._blobs.get_blob(run_marker(keyed.flow_id).blob_id)
            return await self._runs.state(requests.check_run_id(noted.filename or ""))
        except (NotFoundError, InvalidArgumentError):
            return None

    async def _searched(self, keyed: _Keyed) -> RunDetails | None:
        """Return the oldest run of the flow that carries the key; None if there is none."""
        found = None
        pages = self._lister.iter_runs(page_size=_PAGE, flow_name=keyed.name, roots_only=True)
        async with aclosing(pages) as runs:
            async for run in runs:
                found = run if run.flow_id == keyed.flow_id else found
        return found

    async def _is_there(self, marker: Marker) -> bool:
        try:
            await self._blobs.get_blob(marker.blob_id)
        except NotFoundError:
            return False
        return True
