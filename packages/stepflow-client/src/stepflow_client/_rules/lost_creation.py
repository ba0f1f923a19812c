"""Finds the run, if any, that was created by a request whose response was lost.

Pure, except for the lock and the random ids.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable

from .._base.newest import NewestEntries
from ..errors import InvalidResponseError, RequestTimeoutError, ServerFaultError, StepflowClientError, TransportError

_VERSION_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# Maximum number of runs, and of flows shared by calls, that a client remembers as its own.
_MAX_OWNED, _MAX_FLOWS = 50_000, 1_000


def may_have_created(error: StepflowClientError) -> bool:
    """Return whether the server may have created a run although the request failed with this error.

    A server whose store fails while it creates a run responds with 500, and may execute the run.
    """
    if isinstance(error, TransportError):
        return error.was_sent
    return isinstance(error, InvalidResponseError | ServerFaultError)


def was_processed(error: StepflowClientError) -> bool:
    """Return whether the server itself has responded with an error, so that it creates no run later.

    An error from a proxy (502, 503, 504) does not show whether the server processed the request.
    """
    if not isinstance(error, ServerFaultError) or error.status_code != 500 or not isinstance(error.details, dict):
        return False
    inner = error.details.get("error")
    if isinstance(inner, dict):
        return {"code", "message", "status"} <= inner.keys()
    # The format of older servers.
    return {"code", "message"} <= error.details.keys()


def may_arrive_later(error: StepflowClientError) -> bool:
    """Return whether the server may still be processing a request that got no response.

    If so, sending the request again could create a second run. A server stops processing a request when its connection
    breaks, but not while the connection is only silent.
    """
    if isinstance(error, RequestTimeoutError):
        # A 408 means that the request did not arrive in time.
        return error.was_sent and error.status_code is None
    return isinstance(error, ServerFaultError) and error.status_code == 504


def get_creation_time(run_id: str) -> float | None:
    """Return when the server created a run, in seconds since 1970 by the server's clock; None if the id has no time.

    All released servers use UUIDs of version 7 as run ids, which contain the time in milliseconds.
    """
    if _VERSION_7.fullmatch(run_id):
        # The usual case; several times faster than parsing with UUID.
        return int(run_id[:8] + run_id[9:13], 16) / 1000
    from uuid import UUID

    try:
        uuid = UUID(run_id)
    except ValueError:
        return None
    return int(uuid.hex[:12], 16) / 1000 if uuid.version == 7 else None


_process = os.urandom(16).hex()


def get_process_token() -> str:
    """Return an id that is unique to this process; a fork has a different one."""
    return _process


def _reset_in_fork() -> None:
    global _process
    _process = os.urandom(16).hex()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_fork)


class CreationCall:
    """A call that creates a run of a flow, from its first request until its run is known.

    Args:
        flow_id: The id of the flow.
        newest: The newest run of the flow that already belonged to another call when this call began; empty if there is
            none, or if its age does not limit the age of this call's run.
    """

    def __init__(self, flow_id: str, newest: str = "") -> None:
        self.flow_id = flow_id
        self._newest = newest
        self.is_lost = False
        """Whether the response was lost and the client is searching for the run."""
        self.is_settled = False
        """Whether it is known which run the call has created, if any."""
        self.sends = 0
        """Number of requests that may have created a run."""
        self.began = time.monotonic()
        """When the call began, by `time.monotonic()`."""
        self.sent = self.began
        """When the last of these requests was sent."""

    @property
    def floor(self) -> float:
        """The creation time of the newest run that belongs to another call. The run of this call cannot be older."""
        return get_creation_time(self._newest) or 0.0

    def pick_run(self, run_ids: list[str]) -> str | None:
        """Return the run of this call, provided that no other call can have created any of the given runs.

        Args:
            run_ids: Runs of a flow that only this client runs, and that are not matched to a call yet.

        Returns:
            The newest run; None if there are more runs than requests sent, or if one may be older than this call.
        """
        # Take the newest run, because a request that was sent again may have arrived after all.
        newest = max(run_ids, key=lambda run_id: get_creation_time(run_id) or 0.0)
        floor = self.floor
        is_certain = len(run_ids) <= self.sends and all(
            (get_creation_time(run_id) or 0.0) >= floor for run_id in run_ids
        )
        return newest if is_certain else None


class RunRegistry:
    """The flows and runs of one client in one process, and its calls that have no run yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tag = os.urandom(16).hex()
        self._shared: NewestEntries[bytes, str] = NewestEntries(_MAX_FLOWS)
        self._claimed: set[bytes] = set()
        self._ours: NewestEntries[str, None] = NewestEntries(_MAX_OWNED)
        self._owned: OrderedDict[str, None] = OrderedDict()
        self._newest: NewestEntries[str, str] = NewestEntries(_MAX_FLOWS)
        """The newest run of each flow that belongs to a call. (Ids of version 7 are in the order of their times.)"""
        self._open: dict[str, set[CreationCall]] = {}
        self._resent: NewestEntries[str, None] = NewestEntries(_MAX_FLOWS)
        """Flows for which a repeated request may have created more runs than its call knows."""

    # Flows

    def find_shared_flow(self, digest: bytes) -> str | None:
        """Return the id under which this client's calls share a flow; None if the flow must be stored (again)."""
        with self._lock:
            flow_id = self._shared.get(digest)
            return flow_id if flow_id in self._ours else None

    def try_claim(self, digest: bytes) -> bool:
        """Claim a flow to store for all calls, or the turn on a key. Return False if another call has claimed it."""
        with self._lock:
            if digest in self._claimed:
                return False
            self._claimed.add(digest)
            return True

    def release_claim(self, digest: bytes) -> None:
        """End a claim, whether the call succeeded or not."""
        with self._lock:
            self._claimed.discard(digest)

    def choose_shared_tag(self, digest: bytes) -> str:
        """Return the tag for storing a flow that calls share: a new one if the flow has a run without an owner."""
        with self._lock:
            flow_id = self._shared.pop(digest, None)
            if flow_id is not None and flow_id not in self._ours:
                self._tag = os.urandom(16).hex()
            return self._tag

    def share_flow(self, digest: bytes, flow_id: str) -> None:
        """Record the id of a flow that was stored with its `choose_shared_tag`."""
        with self._lock:
            self._shared.put(digest, flow_id)
            self._ours.put(flow_id, None)

    def reserve_flow(self, flow_id: str) -> None:
        """Record the id of a flow that was stored for a single call."""
        with self._lock:
            self._ours.put(flow_id, None)

    def forget_flow(self, flow_id: str) -> None:
        """Record that the server may have lost a flow, so that it is stored again with the same tag."""
        with self._lock:
            if flow_id in self._ours:
                for digest in [digest for digest, shared in self._shared.items() if shared == flow_id]:
                    del self._shared[digest]

    def is_ours(self, flow_id: str) -> bool:
        """Return whether only this client runs the flow and every run of it has an owner."""
        with self._lock:
            return flow_id in self._ours

    # Runs

    def begin_call(self, flow_id: str, *, has_one_clock: bool = True) -> CreationCall:
        """Record that a call is about to create a run, and return the call.

        Args:
            flow_id: The id of the flow.
            has_one_clock: Whether a single server creates all runs, so that a later run never appears to be older.
                With several servers, the age of runs is only used if an earlier call may have left a run behind.
        """
        with self._lock:
            has_age = has_one_clock or flow_id in self._resent
            call = CreationCall(flow_id, self._newest.get(flow_id, "") if has_age else "")
            self._open.setdefault(flow_id, set()).add(call)
            return call

    def end_call(self, call: CreationCall, *, is_settled: bool, run_id: str | None = None) -> None:
        """Record that a call has ended.

        Args:
            call: The call.
            run_id: The run that the response to the call named; None if there was no response.
            is_settled: Whether it is known which run the call created, if any. If not, a run it created has no owner,
                and no other call may take that run.
        """
        with self._lock:
            if run_id is not None:
                self._claim_run(call.flow_id, run_id)
            if not is_settled:
                self._ours.pop(call.flow_id, None)
            if call.sends > 1:
                self._resent.put(call.flow_id, None)
            others = self._open[call.flow_id]
            others.discard(call)
            if not others:
                del self._open[call.flow_id]

    def list_other_calls(self, call: CreationCall) -> set[CreationCall]:
        """Return the other calls that are currently creating a run of the same flow."""
        with self._lock:
            return self._open.get(call.flow_id, set()) - {call}

    def filter_unowned(self, run_ids: Iterable[str]) -> list[str]:
        """Return the runs that are not matched to a call of this client."""
        with self._lock:
            return [run_id for run_id in run_ids if run_id not in self._owned]

    def claim_run(self, flow_id: str, run_id: str) -> bool:
        """Record that a run belongs to a call. Return False if it already belongs to another call."""
        with self._lock:
            return self._claim_run(flow_id, run_id)

    def _claim_run(self, flow_id: str, run_id: str) -> bool:
        if run_id in self._owned:
            return False
        self._owned[run_id] = None
        if len(self._owned) > _MAX_OWNED:
            self._owned.popitem(last=False)
        newest = self._newest.get(flow_id)
        if newest is None:
            self._newest.put(flow_id, run_id)
        elif run_id > newest:
            self._newest[flow_id] = run_id
        return True


class RunRegistries:
    """The registries of one client, one per process, because a fork has its own flows and runs."""

    def __init__(self) -> None:
        self._by_process: dict[str, RunRegistry] = {}

    @property
    def current(self) -> RunRegistry:
        """The registry of this process."""
        registry = self._by_process.get(_process)
        return registry if registry is not None else self._by_process.setdefault(_process, RunRegistry())
