"""The garbage collector is paused while large results are decoded, and only then."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from stepflow_client import ExecutionStatus
from stepflow_client._base.gc_pauses_and_slices import pause_garbage_collector
from stepflow_client._codec import responses
from stepflow_client._data.wire import decode_keeping_floats


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def test_the_collector_is_paused_inside_the_block() -> None:
    with pause_garbage_collector():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_resumes_after_an_error() -> None:
    with pytest.raises(ValueError, match="no"), pause_garbage_collector():
        raise ValueError("no")
    assert gc.isenabled()


def test_a_disabled_collector_stays_disabled() -> None:
    gc.disable()
    with pause_garbage_collector():
        pass
    assert not gc.isenabled()


def test_the_collector_stays_paused_until_all_threads_leave_the_block() -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with pause_garbage_collector():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    with pause_garbage_collector():
        leave.set()
        thread.join(10)
        assert not gc.isenabled()
    assert gc.isenabled()


FORKED = """
import gc, os, signal, sys, threading, warnings
from stepflow_client._base import gc_pauses_and_slices as _collector
from stepflow_client._base.gc_pauses_and_slices import pause_garbage_collector

inside, leave = threading.Event(), threading.Event()

def hold():
    with pause_garbage_collector():
        # Like a thread that is just leaving the block.
        with _collector._lock:
            inside.set()
            leave.wait()

threading.Thread(target=hold, daemon=True).start()
inside.wait()
# This test forks a process with threads on purpose; newer Python releases warn about that.
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if not child:
    signal.alarm(10)
    enabled = gc.isenabled()
    with pause_garbage_collector():
        paused = not gc.isenabled()
    os._exit(not (enabled and paused and gc.isenabled()))
done = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
leave.set()
sys.exit(done)
"""


def test_a_fork_works_while_another_thread_holds_the_lock() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_large_responses_are_decoded_with_few_collections() -> None:
    content = b'{"results":[%s]}' % b",".join(
        b'{"itemIndex":%d,"status":2,"output":{"n":1}}' % n for n in range(30_000)
    )
    collections: list[str] = []

    def record_collection(phase: str, info: dict[str, int]) -> None:
        collections.append(phase)

    gc.callbacks.append(record_collection)
    try:
        listed = responses.read_items("r", responses.parse_object(content, "GET /", decode_keeping_floats)["results"])
        results = responses.read_results(listed, ExecutionStatus.COMPLETED)
    finally:
        gc.callbacks.remove(record_collection)
    assert len(results) == 30_000
    assert len(collections) < 20
