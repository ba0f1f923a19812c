"""Which run, if any, a request has created whose response was lost. Pure, but for the lock and the ids."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID, uuid4

from ..errors import InvalidResponseError, RequestTimeoutError, ServerFaultError, StepflowClientError, TransportError

__all__ = [
    "Call",
    "RunRegistries",
    "RunRegistry",
    "born",
    "may_arrive_later",
    "may_have_created",
    "tagged",
    "this_process",
    "untagged",
]

_TAG = "stepflow-client"
"""The key in a flow's metadata that says which client runs it."""
_VERSION_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_MOST_OWNED, _MOST_FLOWS = 50_000, 1_000
"""How many runs, and flows that are shared by calls, a client remembers as its own."""

Value = TypeVar("Value")


def may_have_created(error: StepflowClientError) -> bool:
    """Return whether the server may have created a run although this came back."""
    if isinstance(error, InvalidResponseError):
        return True
    if isinstance(error, TransportError):
        return error.was_sent
    return isinstance(error, ServerFaultError) and not (error.status_code == 500 and _is_own(error.details))


def _is_own(details: object) -> bool:
    """Return whether a server itself says so: what a proxy says of one (502, 503, 504) leaves everything open."""
    if not isinstance(details, dict):
        return False
    inner = details.get("error")
    if isinstance(inner, dict):
        return {"code", "message", "status"} <= inner.keys()
    # Servers before 0.12.
    return {"code", "message"} <= details.keys()


def may_arrive_later(error: StepflowClientError) -> bool:
    """Return whether a request that got no response may still be worked on, so that sending it again could double it.

    A server drops what it does for a connection that breaks; for one that is silent it does not.
    """
    if isinstance(error, RequestTimeoutError):
        # A 408 says that the request did not arrive in time.
        return error.was_sent and error.status_code is None
    return isinstance(error, ServerFaultError) and error.status_code == 504


def born(run_id: str) -> float | None:
    """Return when the server created a run, in seconds since 1970 by its own clock; None if the id does not tell.

    All released servers (0.9 to 0.13) give ids of UUID version 7, which hold it to the millisecond.
    """
    if _VERSION_7.fullmatch(run_id):
        # The usual case, several times faster than by way of UUID.
        return int(run_id[:8] + run_id[9:13], 16) / 1000
    try:
        uuid = UUID(run_id)
    except ValueError:
        return None
    return int(uuid.hex[:12], 16) / 1000 if uuid.version == 7 else None


def tagged(flow: dict[str, Any], tag: str) -> dict[str, Any]:
    """Return a copy of a flow that has an id of its own, by a tag in its metadata."""
    metadata = flow.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        # The server refuses it.
        return flow
    return {**flow, "metadata": {**(metadata or {}), _TAG: tag}}


def untagged(flow: dict[str, Any]) -> dict[str, Any]:
    """Return a flow without the tag of a client, as its author wrote it."""
    metadata = flow.get("metadata")
    if not isinstance(metadata, dict) or _TAG not in metadata:
        return flow
    left = {key: value for key, value in metadata.items() if key != _TAG}
    return {key: left if key == "metadata" else value for key, value in flow.items() if key != "metadata" or left}


_process = uuid4().hex


def this_process() -> str:
    """Return what tells this process from every other one, a fork of it included."""
    return _process


def _name_process() -> None:
    global _process
    _process = uuid4().hex


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_name_process)


class Call:
    """A call that creates a run of a flow, from its first request until its run is known.

    Args:
        flow_id: The flow.
        floor: When the newest run of the flow was created that had found its call by then.
    """

    def __init__(self, flow_id: str, floor: float) -> None:
        """Nothing is sent yet."""
        self.flow_id = flow_id
        self.floor = floor
        self.is_lost = False
        """Whether the response was lost and the run is looked for."""
        self.sends = 0
        """How many requests may have created a run."""

    def pick(self, run_ids: list[str]) -> str | None:
        """Return the run of this call, if no other call can have created any of these; None if one may be older.

        Args:
            run_ids: Runs of a flow that only this client runs, which no call of it has yet.
        """
        # A request that was given up as lost and sent again may have arrived all the same: the last one counts.
        newest = max(run_ids, key=lambda run_id: born(run_id) or 0.0)
        is_certain = len(run_ids) <= self.sends and all((born(run_id) or 0.0) >= self.floor for run_id in run_ids)
        return newest if is_certain else None


class RunRegistry:
    """What one client has started in one process: its flows, its runs, and the calls that have no run yet."""

    def __init__(self) -> None:
        """Choose a tag that no other client and no other process has."""
        self._lock = threading.Lock()
        self._tag = uuid4().hex
        self._shared: dict[bytes, str] = {}
        self._storing: set[bytes] = set()
        self._ours: dict[str, None] = {}
        self._owned: dict[str, float] = {}
        self._newest: dict[str, float] = {}
        self._open: dict[str, set[Call]] = {}
        self._resent: dict[str, None] = {}
        """The flows of which a run may have been created more often than its call knows."""

    # Flows

    def shared_flow(self, digest: bytes) -> str | None:
        """Return the id under which the calls of this client run a flow; None if it must be stored (again)."""
        with self._lock:
            flow_id = self._shared.get(digest)
            return flow_id if flow_id in self._ours else None

    def start_storing(self, digest: bytes) -> bool:
        """Note that a call stores a flow for all of them; False if another one is at it."""
        with self._lock:
            if digest in self._storing:
                return False
            self._storing.add(digest)
            return True

    def stop_storing(self, digest: bytes) -> None:
        """Note that it does so no more, whatever came of it."""
        with self._lock:
            self._storing.discard(digest)

    def shared_tag(self, digest: bytes) -> str:
        """Return the tag under which to store a flow that calls share: another one if a run of it has no owner."""
        with self._lock:
            known = self._shared.pop(digest, None)
            if known is not None and known not in self._ours:
                self._tag = uuid4().hex
            return self._tag

    def share(self, digest: bytes, flow_id: str) -> None:
        """Note under which id a flow was stored with its `shared_tag`."""
        with self._lock:
            _put(self._shared, digest, flow_id, _MOST_FLOWS)
            _put(self._ours, flow_id, None, _MOST_OWNED)

    def reserve(self, flow_id: str) -> None:
        """Note the id of a flow that was stored for a single call."""
        with self._lock:
            _put(self._ours, flow_id, None, _MOST_OWNED)

    def forget_flow(self, flow_id: str) -> None:
        """Note that the server may have a flow no more: it is stored again, with the same tag."""
        with self._lock:
            if flow_id in self._ours:
                self._shared = {digest: known for digest, known in self._shared.items() if known != flow_id}

    def is_ours(self, flow_id: str) -> bool:
        """True if nobody but this client runs the flow, and no run of it was left without an owner."""
        with self._lock:
            return flow_id in self._ours

    # Runs

    def begin(self, flow_id: str, *, has_one_clock: bool = True) -> Call:
        """Note that a call is about to create a run.

        Args:
            flow_id: The flow.
            has_one_clock: Whether one server creates all runs, so that a later one never seems to be older. Among
                several, age counts only where a run of an earlier call may have been left over.
        """
        with self._lock:
            counts = has_one_clock or flow_id in self._resent
            call = Call(flow_id, self._newest.get(flow_id, 0.0) if counts else 0.0)
            self._open.setdefault(flow_id, set()).add(call)
            return call

    def end(self, call: Call, *, is_settled: bool) -> None:
        """Note that a call is over.

        Args:
            call: The call.
            is_settled: Whether it is known which run it has created, if any. Otherwise nobody will own that run, and
                no other call may take it.
        """
        with self._lock:
            if not is_settled:
                self._ours.pop(call.flow_id, None)
            if call.sends > 1:
                _put(self._resent, call.flow_id, None, _MOST_FLOWS)
            left = self._open[call.flow_id]
            left.discard(call)
            if not left:
                del self._open[call.flow_id]

    def rivals(self, call: Call) -> set[Call]:
        """Return the other calls that create a run of the same flow just now."""
        with self._lock:
            return self._open.get(call.flow_id, set()) - {call}

    def unowned(self, run_ids: Iterable[str]) -> list[str]:
        """Return those of the runs that no call of this client has."""
        with self._lock:
            return [run_id for run_id in run_ids if run_id not in self._owned]

    def owned_since(self, run_id: str) -> float | None:
        """Return since when a run of this client exists, by `time.monotonic()`; None if it is not one of them."""
        with self._lock:
            return self._owned.get(run_id)

    def own(self, flow_id: str, run_id: str, since: float | None = None) -> bool:
        """Return a run to a call; False if another one has it already.

        Args:
            flow_id: The flow.
            run_id: The run.
            since: When the server had the run at the latest, by `time.monotonic()`; None for now.
        """
        with self._lock:
            if run_id in self._owned:
                return False
            _put(self._owned, run_id, time.monotonic() if since is None else since, _MOST_OWNED)
            newest = max(born(run_id) or 0.0, self._newest.get(flow_id, 0.0))
            _put(self._newest, flow_id, newest, _MOST_FLOWS)
            return True


def _put(known: dict[Any, Value], key: Any, value: Value, most: int) -> None:
    """Remember something as the newest of a maximum number of entries."""
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        del known[next(iter(known))]


class RunRegistries:
    """The registry of one client in each process that it lives in: a fork has flows and runs of its own."""

    def __init__(self) -> None:
        self._by_process: dict[str, RunRegistry] = {}

    @property
    def current(self) -> RunRegistry:
        """The registry of this process."""
        process = this_process()
        found = self._by_process.get(process)
        return found if found is not None else self._by_process.setdefault(process, RunRegistry())
