"""A client's services, each imported and created on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .context import ClientContext

if TYPE_CHECKING:
    from ..flows.reading import FlowSource
    from .batch import Batch, BatchInputs, BatchOptions
    from .caching import CachedRuns
    from .following import Follower
    from .idempotency import KeyedRuns
    from .readiness import ComponentWaiter
    from .rerun import Rerunner
    from .run_creation import RunCreator
    from .snapshot_reader import SnapshotReader
    from .waiting import Waiter
    from .watching import ProgressReporter, RunWatcher


class Services(ClientContext):
    """The services behind a client's methods, plus the state they share."""

    @cached_property
    def creator(self) -> RunCreator:
        """Creates runs."""
        from .run_creation import RunCreator

        return RunCreator(self)

    @cached_property
    def keyed_runs(self) -> KeyedRuns:
        """Creates and finds runs under idempotency keys."""
        from .idempotency import KeyedRuns

        return KeyedRuns(self, self.creator)

    @cached_property
    def cached_runs(self) -> CachedRuns:
        """Runs flows, or returns their cached results."""
        from .caching import CachedRuns

        return CachedRuns(self.flows)

    @cached_property
    def rerunner(self) -> Rerunner:
        """Reruns finished runs."""
        from .rerun import Rerunner

        return Rerunner(self, self.creator, self.waiter, self.snapshots, lambda: self.keyed_runs)

    @cached_property
    def component_waiter(self) -> ComponentWaiter:
        """Waits until the server has a flow's components."""
        from .readiness import ComponentWaiter

        return ComponentWaiter(self.connection, self.flows)

    @cached_property
    def waiter(self) -> Waiter:
        """Waits for runs to end."""
        from .waiting import Waiter

        return Waiter(self, lambda: self.follower, lambda: self.snapshots)

    @cached_property
    def follower(self) -> Follower:
        """Follows runs."""
        from .following import Follower

        return Follower(self)

    @cached_property
    def snapshots(self) -> SnapshotReader:
        """Reads everything that's known about runs."""
        from .snapshot_reader import SnapshotReader

        return SnapshotReader(self, lambda: self.follower)

    @cached_property
    def watcher(self) -> RunWatcher:
        """Follows runs and tracks their progress."""
        from .watching import RunWatcher

        return RunWatcher(self.follower, self.snapshots, self.waiter)

    @cached_property
    def reporter(self) -> ProgressReporter:
        """Reports progress for runs and batches."""
        from .watching import ProgressReporter

        return ProgressReporter(self.snapshots, self.watcher, self.waiter)

    def make_batch(self, flow: FlowSource, inputs: BatchInputs, options: BatchOptions) -> Batch:
        """Create a batch, which starts once its outcomes are read."""
        from .batch import Batch

        return Batch(self, self.creator, self.waiter, lambda: self.keyed_runs, flow, inputs, options)
