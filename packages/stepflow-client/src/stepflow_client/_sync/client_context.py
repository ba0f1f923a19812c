# Written from _async/client_context.py by `make generate`. Change that file instead.

"""The state shared by a client's services."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Self

from .._telemetry.history_recorder import Recorder
from .connection import Connection
from .run_reader import RunReader

if TYPE_CHECKING:
    from .blobs import BlobStore
    from .flow_store import FlowStore
    from .run_listing import RunLister


class ClientContext:
    """The state shared by one client's services.

    Args:
        connection: The connection.
        recorder: Records runs in the client's history.
        exact_integers: Whether to reject integers that the server would change.
        key_scope: The default scope for idempotency keys, if any.
    """

    def __init__(self, connection: Connection, recorder: Recorder, exact_integers: bool, key_scope: str | None) -> None:
        self.connection = connection
        self.recorder = recorder
        self.exact_integers = exact_integers
        self.key_scope = key_scope
        self.runs = RunReader(connection)

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return a context that sends additional headers but shares this one's connections and cached flows."""
        twin = type(self)(self.connection.with_headers(headers), self.recorder, self.exact_integers, self.key_scope)
        twin.flows = self.flows.with_connection(twin.connection)
        return twin

    @cached_property
    def flows(self) -> FlowStore:
        """Stores and checks flows."""
        from .flow_store import FlowStore

        return FlowStore(self.connection)

    @cached_property
    def run_lister(self) -> RunLister:
        """Lists runs."""
        from .run_listing import RunLister

        return RunLister(self.connection, self.recorder)

    @cached_property
    def blobs(self) -> BlobStore:
        """Stores and reads blobs."""
        from .blobs import BlobStore

        return BlobStore(self.connection)
