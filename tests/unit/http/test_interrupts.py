"""A KeyboardInterrupt at any line of the blocking client propagates, and no connection is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
import stepflow_client
from stepflow_client import RetryPolicy, SyncStepflowClient
from stepflow_client._http.http1_format import PoolTimeout
from stepflow_client._http.sync_socket import SyncRequestSlots

from tests.raw_server import HEALTHY, RawServer, answers
from tests.unit.http.test_sockets import connections

SENDING = {
    Path(stepflow_client.__file__).parent / name
    for name in (
        "_sync/transport/pool.py",
        "_http/connecting.py",
        "_http/http1_format.py",
        "_http/sync_socket.py",
    )
}


def is_finalizing(frame: FrameType | None) -> bool:
    """Return whether the frame is inside a `__del__`, where exceptions do not propagate."""
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def was_interrupted_at(line: int, call: Callable[[], Any]) -> bool:
    """Raise a KeyboardInterrupt at the call's n-th line; return False if it runs fewer lines."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if Path(frame.f_code.co_filename) not in SENDING or is_finalizing(frame):
            return None
        if event == "line":
            count += 1
            if count == line:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


# A socket that does not belong to a connection yet is closed by the garbage collector, with this warning.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("idle", [True, False], ids=["idle connection", "new connection"])
def test_an_interrupt_at_any_line(idle: bool) -> None:
    limits = httpx.Limits(max_connections=2, max_keepalive_connections=2 if idle else 0)
    with (
        RawServer(answers(HEALTHY)) as server,
        SyncStepflowClient(
            server.url, limits=limits, retry=RetryPolicy(max_attempts=1), server_release="0.13", timeout=5
        ) as client,
    ):
        client.health_check()
        line = 0
        while was_interrupted_at(line := line + 1, client.health_check):
            # Both slots are free, and the next call does not get a response to the interrupted request.
            slots = client._connection.dialect.inner.inner._slots  # type: ignore[attr-defined]
            taken = [slots.try_take(), slots.try_take()]
            del taken
            assert client.health_check().status == "healthy"
        assert line > 50
        # An interrupt while a connection is acquired or released may leave it open until the client closes.
        assert len(connections(server.port)) <= 8
    assert not connections(server.port)


def test_a_lost_slot_is_replaced() -> None:
    slots = SyncRequestSlots(1)
    for number in range(4):
        slot = slots.wait_and_take(0.01)
        assert slots.try_take() is None
        with pytest.raises(PoolTimeout, match="no connection was free"):
            slots.wait_and_take(0.01)
        if number % 2:
            slots.release(slot)
        del slot
    assert slots.try_take() is not None
