"""Finds the run, if any, that was created by a request whose response was lost.

Does no I/O, but uses a lock and random IDs.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable

from .._base.bounded_dict import BoundedDict
from ..errors import InvalidResponseError, RequestTimeoutError, ServerFaultError, StepflowClientError, TransportError

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# Maximum number of runs, and of flows shared between calls, that a client remembers as its own.
_MAX_OWNED_RUNS, _MAX_FLOWS = 50_000, 1_000


def may_have_created_run(error: StepflowClientError) -> bool:
    """Return whether the server may have created a run even though the request failed with this error.

    If a server's store fails while a run is being created, the server responds with 500 but may still execute the run.
    """
    if isinstance(error, TransportError):
        return error.was_sent
    return isinstance(error, InvalidResponseError | ServerFaultError)


def was_processed_by_server(error: StepflowClientError) -> bool:
    """Return whether the error came from the server itself, which means it won't create a run later.

    Errors from a proxy (502, 503, 504) don't show whether the server processed the request.
    """
    if not isinstance(error, ServerFaultError) or error.status_code != 500 or not isinstance(error.details, dict):
        return False
    inner = error.details.get("error")
    if isinstance(inner, dict):
        return {"code", "message", "status"} <= inner.keys()
    # Format of older servers
    return {"code", "message"} <= error.details.keys()


def may_still_be_processed(error: StepflowClientError) -> bool:
    """Return whether the server may still be processing a request that got no response.

    If so, resending the request could create a second run. Servers stop processing a request when its connection
    breaks, but not when the connection merely goes silent.
    """
    if isinstance(error, RequestTimeoutError):
        # A 408 means the request did not arrive in time.
        return error.was_sent and error.status_code is None
    return isinstance(error, ServerFaultError) and error.status_code == 504


def get_creation_time(run_id: str) -> float | None:
    """Return when a run was created, in seconds since 1970 by the server's clock, or None if its ID contains no time.

    All released servers use version 7 UUIDs as run IDs, which contain the time in milliseconds.
    """
    if _UUID7.fullmatch(run_id):
        # Fast path for the usual format, several times faster than UUID().
        return int(run_id[:8] + run_id[9:13], 16) / 1000
    from uuid import UUID

    try:
        uuid = UUID(run_id)
    except ValueError:
        return None
    return int(uuid.hex[:12], 16) / 1000 if uuid.version == 7 else None


_process = os.urandom(16).hex()


def get_process_token() -> str:
    """Return an ID unique to this process. A forked process gets a different ID."""
    return _process


def _renew_token_in_fork() -> None:
    global _process
    _process = os.urandom(16).hex()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_token_in_fork)


class CreationCall:
    """A call that creates a run, from its first request until its run is known.

    Args:
        flow_id: The flow ID.
        newest: The newest of the flow's runs that already belonged to another call when this call began. Empty if there
            is no such run, or if its age says nothing about how old this call's run is.
    """

    def __init__(self, flow_id: str, newest: str = "") -> None:
        self.flow_id = flow_id
        self._newest = newest
        self.is_lost = False
        """Whether the response was lost and the client is searching for the run."""
        self.is_settled = False
        """Whether the call's outcome is known, i.e. which run it created, if any."""
        self.sends = 0
        """The number of requests that may have created a run."""
        self.began = time.monotonic()
        """When the call began, by `time.monotonic()`."""
        self.sent = self.began
        """When the last request that may have created a run was sent."""

    def pick_run(self, run_ids: list[str]) -> str | None:
        """Return this call's run, assuming that no other call could have created any of these runs.

        Args:
            run_ids: Runs not yet matched to a call, of a flow that only this client runs.

        Returns:
            The newest run, or None if there are more runs than requests sent or if one might be older than this call.
        """
        times = {run_id: get_creation_time(run_id) or 0.0 for run_id in run_ids}
        # This call's run can't be older than the newest run of another call.
        if len(run_ids) > self.sends or min(times.values()) < (get_creation_time(self._newest) or 0.0):
            return None
        # Take the newest run: if the request was resent, the original may have arrived after all.
        return max(run_ids, key=times.__getitem__)


class RunRegistry:
    """Tracks a client's flows and runs within one process, along with the calls still waiting for their run."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tag = os.urandom(16).hex()
        self._shared_flow_ids: BoundedDict[bytes, str] = BoundedDict(_MAX_FLOWS)
        self._claimed_digests: set[bytes] = set()
        self._own_flow_ids: BoundedDict[str, None] = BoundedDict(_MAX_OWNED_RUNS)
        self._own_run_ids: OrderedDict[str, None] = OrderedDict()
        self._newest: BoundedDict[str, str] = BoundedDict(_MAX_FLOWS)
        """Each flow's newest run that belongs to a call. (Version 7 IDs sort by time.)"""
        self._open_calls: dict[str, set[CreationCall]] = {}
        self._resent: BoundedDict[str, None] = BoundedDict(_MAX_FLOWS)
        """Flows that may have unclaimed runs, because a request was resent."""

    # Flows

    def find_shared_flow_id(self, digest: bytes) -> str | None:
        """Return the ID under which this client's calls share a flow, or None if the flow has to be stored (again)."""
        with self._lock:
            flow_id = self._shared_flow_ids.get(digest)
            return flow_id if flow_id in self._own_flow_ids else None

    def try_lock_flow_or_key(self, digest: bytes) -> bool:
        """Claim the sole right to store a flow or to use a key. Return False if another call already has that right."""
        with self._lock:
            if digest in self._claimed_digests:
                return False
            self._claimed_digests.add(digest)
            return True

    def release_flow_or_key(self, digest: bytes) -> None:
        """Release a claim, whether or not the call succeeded."""
        with self._lock:
            self._claimed_digests.discard(digest)

    def choose_flow_tag(self, digest: bytes) -> str:
        """Return the tag to store a shared flow with. Pick a new tag if any of the flow's runs has no owner."""
        with self._lock:
            flow_id = self._shared_flow_ids.pop(digest, None)
            if flow_id is not None and flow_id not in self._own_flow_ids:
                self._tag = os.urandom(16).hex()
            return self._tag

    def record_shared_flow(self, digest: bytes, flow_id: str) -> None:
        """Record the ID of a flow stored with the tag from `choose_flow_tag`."""
        with self._lock:
            self._shared_flow_ids.put_newest(digest, flow_id)
            self._own_flow_ids.put_newest(flow_id, None)

    def record_single_call_flow(self, flow_id: str) -> None:
        """Record the ID of a flow stored for just one call."""
        with self._lock:
            self._own_flow_ids.put_newest(flow_id, None)

    def forget_shared_flow_id(self, flow_id: str) -> None:
        """Record that the server may have lost a flow, so that it gets stored again with the same tag."""
        with self._lock:
            if flow_id in self._own_flow_ids:
                for digest in [digest for digest, shared in self._shared_flow_ids.items() if shared == flow_id]:
                    del self._shared_flow_ids[digest]

    def is_flow_only_run_by_this_client(self, flow_id: str) -> bool:
        """Return whether only this client runs the flow and all its runs have an owner."""
        with self._lock:
            return flow_id in self._own_flow_ids

    # Runs

    def begin_call(self, flow_id: str, *, has_one_clock: bool = True) -> CreationCall:
        """Register and return a call that is about to create a run.

        Args:
            flow_id: The flow ID.
            has_one_clock: Whether a single server creates all runs, so that later runs never appear to be older. With
                several servers, run ages are only compared if an earlier call may have left a run behind.
        """
        with self._lock:
            has_age = has_one_clock or flow_id in self._resent
            call = CreationCall(flow_id, self._newest.get(flow_id, "") if has_age else "")
            self._open_calls.setdefault(flow_id, set()).add(call)
            return call

    def end_call(self, call: CreationCall, *, is_settled: bool, run_id: str | None = None) -> None:
        """Record that a call has ended.

        Args:
            call: The call.
            run_id: The run named in the response, or None if there was no response.
            is_settled: Whether the call's outcome is known, i.e. which run it created, if any. If not, any run it
                created has no owner, and no other call may claim that run.
        """
        with self._lock:
            if run_id is not None:
                self.claim_run(call.flow_id, run_id)
            if not is_settled:
                self._own_flow_ids.pop(call.flow_id, None)
            if call.sends > 1:
                self._resent.put_newest(call.flow_id, None)
            others = self._open_calls[call.flow_id]
            others.discard(call)
            if not others:
                del self._open_calls[call.flow_id]

    def list_concurrent_calls(self, call: CreationCall) -> set[CreationCall]:
        """Return all other calls currently creating a run of the same flow."""
        with self._lock:
            return self._open_calls.get(call.flow_id, set()) - {call}

    def filter_unowned(self, run_ids: Iterable[str]) -> list[str]:
        """Return the runs not yet matched to one of this client's calls."""
        with self._lock:
            return [run_id for run_id in run_ids if run_id not in self._own_run_ids]

    def claim_run(self, flow_id: str, run_id: str) -> bool:
        """Record that a run belongs to a call. Return False if it already belongs to a different call."""
        with self._lock:
            if run_id in self._own_run_ids:
                return False
            self._own_run_ids[run_id] = None
            if len(self._own_run_ids) > _MAX_OWNED_RUNS:
                self._own_run_ids.popitem(last=False)
            newest = self._newest.get(flow_id)
            if newest is None:
                self._newest.put_newest(flow_id, run_id)
            elif run_id > newest:
                self._newest[flow_id] = run_id
            return True


class RunRegistries:
    """A client's registries, one per process, since a forked process has its own flows and runs."""

    def __init__(self) -> None:
        self._by_process: dict[str, RunRegistry] = {}

    @property
    def of_current_process(self) -> RunRegistry:
        """The current process's registry."""
        registry = self._by_process.get(_process)
        return registry if registry is not None else self._by_process.setdefault(_process, RunRegistry())
