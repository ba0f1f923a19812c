"""Progress messages, and their display in terminals and logs."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

import httpx
import pytest
from stepflow_client import InvalidArgumentError, Progress
from stepflow_client._display.progress_display import show_progress
from stepflow_client.testing import fake_server

from tests.unit.both_twins import FLOW, RUN_ID, SUMMARY, Server, call, call_with_handler

RUN = Progress(
    "01900000-0000-7000-8000-000000000001", steps=4, finished_steps=1, running_steps=("a", "b"), duration=12.0
)
BATCH = Progress(None, total=2000, completed=1200, failed=3, duration=12.0)
END = Progress("01900000-0000-7000-8000-000000000001", "completed", completed=1, duration=12.0)


@pytest.mark.parametrize(
    ("progress", "words", "fraction"),
    [
        (RUN, "1/4 steps, at a, b, 12s", 0.25),
        (Progress("r", duration=1.0), "1s", None),
        (END, "completed after 12s", 1.0),
        (BATCH, "1,203/2,000 done, 3 failed, 12s, 100/s, 8.0s left", 1203 / 2000),
        (Progress(None, total=None, completed=30, duration=3.0), "30 done, 3s, 10/s", None),
        (Progress(None, total=100, completed=60, known=50, duration=5.0), "60/100 done, 5s, 2.0/s, 20s left", 0.6),
        (Progress(None, total=4700, completed=511, duration=1.0, is_estimated=True), "511/~4,700 done, 1s", 511 / 4700),
        (Progress("r", total=0, duration=1.0), "0/0 done, 1s", None),
        (Progress("r", "cancelled", 3, 1, 2, duration=4.0), "cancelled: 3/3 done, 2 failed, 4s, 0.8/s", 1.0),
        (Progress("r", steps=1, running_steps=("\x1b[31m\u202e",)), "0/1 steps, at ·[31m·, <1s", 0.0),
    ],
)
def test_progress_has_words_and_a_fraction(progress: Progress, words: str, fraction: float | None) -> None:
    assert str(progress) == words
    assert progress.fraction == fraction


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def show_all() -> None:
    with show_progress(True) as update:
        update(RUN)
        update(BATCH)
        update(END)


def test_a_log_has_only_the_last_message_of_a_quick_run(capsys: pytest.CaptureFixture[str]) -> None:
    show_all()
    assert capsys.readouterr() == ("", "run 01900000-0000: completed after 12s\n")


@pytest.mark.parametrize("missing", [(), ("rich",)])
def test_a_terminal_shows_a_bar(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*missing, "tqdm"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    show_all()
    output = stream.getvalue()
    assert "run 01900000-0000" in output
    assert "completed after 12s" in output
    assert output.endswith("\x1b[?25h" if not missing else "\n"), "the line is complete and the cursor is visible"


@pytest.mark.parametrize("missing", [(), ("rich",)])
def test_an_interrupt_leaves_the_last_message(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        with show_progress(True) as update:
            update(RUN)
            raise KeyboardInterrupt

    for name in (*missing, "tqdm"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert "1/4 steps" in stream.getvalue()
    assert "\x1b[?25l" not in stream.getvalue().rpartition("\x1b[?25h")[2], "the cursor is visible"


def test_a_line_is_never_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rich", "tqdm"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    show_all()
    assert {len(line) for line in stream.getvalue().rstrip("\n").split("\r")} == {0, 39}


def test_an_interrupt_ends_the_call() -> None:
    def interrupt(now: Progress) -> None:
        raise KeyboardInterrupt

    with fake_server().sync_client() as client:
        for begin in (
            lambda: client.run(FLOW, 1, progress=interrupt),
            lambda: list(client.map(FLOW, [1], progress=interrupt)),
        ):
            with pytest.raises(KeyboardInterrupt):
                begin()


def test_progress_without_stderr_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", printed)
    show_all()
    assert printed.getvalue() == ""


class HungUp(Terminal):
    """A terminal that has disconnected."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


class ClosedPipe(io.StringIO):
    """A pipe whose reader has closed it."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("missing", [(), ("rich",), ("rich", "tqdm")])
def test_an_unwritable_stream_does_not_fail_the_run(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    closed = io.StringIO()
    closed.close()
    for stream in (closed, HungUp(), ClosedPipe()):
        monkeypatch.setattr(sys, "stderr", stream)
        show_all()
        with fake_server().sync_client() as client:
            assert client.run(FLOW, 1, progress=True).is_success


async def coroutine_function(now: Progress) -> None:
    raise AssertionError("must not be called")


@pytest.mark.parametrize("wrong", [None, 1, "bar", coroutine_function])
@pytest.mark.parametrize("twin", ["async", "sync"])
def test_invalid_progress_arguments_are_rejected(twin: str, wrong: Any) -> None:
    server = fake_server()
    for operation in (
        lambda client: client.run(FLOW, 1, progress=wrong),
        lambda client: client.map(FLOW, [1], progress=wrong),
        lambda client: client.wait_run(RUN_ID, progress=wrong),
    ):
        with pytest.raises(InvalidArgumentError, match="progress must be True, False or a plain function"):
            call(twin, server.transport, operation, server.url)
    assert server.requests == []


@pytest.mark.parametrize("twin", ["async", "sync"])
def test_progress_is_polled_if_the_server_forbids_events(twin: str) -> None:
    server, updates = Server(), list[Progress]()
    server.responses["GET /runs"] = httpx.Response(200, json={"runs": [{**SUMMARY, "status": 1}]})
    server.responses[f"GET /runs/{RUN_ID}/events"] = httpx.Response(403, json={"error": {"message": "no"}})
    run = call_with_handler(twin, server, lambda client: client.wait_run(RUN_ID, timeout=5, progress=updates.append))
    assert run.is_finished
    assert f"GET /runs/{RUN_ID}/events" in server.request_lines
    assert [each.is_finished for each in updates] == [False, True]
