# Written from _async/parts.py by `make generate`. Change that file instead.

"""The parts of one client, of which its methods are made."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .._codec import responses
from .._shared.recorder import Recorder
from .connection import Connection
from .flows import FlowStore
from .listing import RunLister
from .runs import RunReader

if TYPE_CHECKING:
    from ..types import RunDetails
    from .batches import BatchRunner
    from .blobs import BlobStore
    from .caching import CachedRuns
    from .creation import RunCreator
    from .events import EventSource
    from .explaining import RunExplainer
    from .following import Follower
    from .idempotency import KeyedRuns
    from .plain import SyncPlainReader
    from .progress import ProgressReporter
    from .readiness import ComponentWaiter
    from .recovery import RecoveryCheck
    from .rerun import Rerunner
    from .step_times import StepTimer
    from .waiting import Waiter


class Parts:
    """The parts of one client. A part that is made of many others takes them from here.

    Parts that not every program uses are made, and imported, when they are first used.

    Args:
        connection: The connection.
        recorder: Records the runs.
        exact_integers: Whether to refuse integers that the server would change.
        key_scope: The scope of the idempotency keys of calls without one; None for none.
    """

    def __init__(self, connection: Connection, recorder: Recorder, exact_integers: bool, key_scope: str | None) -> None:
        self.connection = connection
        self.recorder = recorder
        self.exact_integers = exact_integers
        self.key_scope = key_scope
        self.flows = FlowStore(connection)
        self.runs = RunReader(connection)
        self.lister: RunLister[RunDetails] = RunLister(connection, recorder, lambda told: responses.runs(told).runs)

    @cached_property
    def creator(self) -> RunCreator:
        """Creates runs."""
        from .creation import RunCreator

        return RunCreator(self)

    @cached_property
    def recovery(self) -> RecoveryCheck:
        """Detects runs that will never end."""
        from .recovery import RecoveryCheck

        return RecoveryCheck(self.connection, self.flows.registries)

    @cached_property
    def waiter(self) -> Waiter:
        """Waits until runs end."""
        from .waiting import Waiter

        return Waiter(self)

    @cached_property
    def follower(self) -> Follower:
        """Follows runs."""
        from .following import Follower

        return Follower(self.connection, self.runs, self.recovery)

    @cached_property
    def events(self) -> EventSource:
        """Reads the events of runs."""
        from .events import EventSource

        return EventSource(self.follower, self.recorder)

    @cached_property
    def timer(self) -> StepTimer:
        """Reads the times of steps."""
        from .step_times import StepTimer

        return StepTimer(self.connection, self.follower)

    @cached_property
    def reporter(self) -> ProgressReporter:
        """Reports the progress of runs and batches."""
        from .progress import ProgressReporter

        return ProgressReporter(self.runs, self.events, self.waiter)

    @cached_property
    def blobs(self) -> BlobStore:
        """Stores and reads blobs."""
        from .blobs import BlobStore

        return BlobStore(self.connection)

    @cached_property
    def plain(self) -> SyncPlainReader:
        """Reads runs and results as plain objects."""
        from .plain import SyncPlainReader

        return SyncPlainReader(self)

    @cached_property
    def batches(self) -> BatchRunner:
        """Runs a flow on any number of inputs."""
        from .batches import BatchRunner

        return BatchRunner(self)

    @cached_property
    def cached(self) -> CachedRuns:
        """Runs flows whose results may be in a cache."""
        from .caching import CachedRuns

        return CachedRuns(self.connection, self.flows, self.creator)

    @cached_property
    def keyed(self) -> KeyedRuns:
        """Creates and finds runs under idempotency keys."""
        from .idempotency import KeyedRuns

        return KeyedRuns(self)

    @cached_property
    def readiness(self) -> ComponentWaiter:
        """Waits until the server has the components of flows."""
        from .readiness import ComponentWaiter

        return ComponentWaiter(self.connection, self.flows)

    @cached_property
    def rerunner(self) -> Rerunner:
        """Runs runs again."""
        from .rerun import Rerunner

        return Rerunner(self)

    @cached_property
    def explainer(self) -> RunExplainer:
        """Explains runs."""
        from .explaining import RunExplainer

        return RunExplainer(self)
