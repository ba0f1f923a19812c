"""The first of several servers accepts connections but never responds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from stepflow_client import RequestTimeoutError, RetryPolicy

from tests.raw_server import BODY, HEALTHY, OK, Conversation, RawServer, answers
from tests.unit.http.test_sockets import both, use

pytestmark = pytest.mark.parametrize("strategy", ["failover", "spread"])


def silent(conversation: Conversation) -> None:
    """Accept requests and send nothing."""
    while conversation.read():
        pass


def trickling(conversation: Conversation) -> None:
    """Send the response to each request slowly, and never its last byte."""
    while conversation.read():
        conversation.say(OK + b"content-length: %d\r\n\r\n" % len(BODY))
        for byte in BODY[:-1]:
            conversation.say(bytes([byte]))
            time.sleep(0.1)


def checks(**options: Any) -> Any:
    def steps(client: Any) -> Iterator[Any]:
        yield client.health_check(**options)
        # From now on, the server that responds is tried first.
        yield client.health_check(timeout=20)

    return steps


@both
@pytest.mark.parametrize("options", [{}, {"timeout": 2}], ids=["no deadline", "a deadline"])
def test_the_next_server_gets_the_request(twin: str, strategy: str, options: dict[str, Any]) -> None:
    with RawServer(silent) as hung, RawServer(answers(HEALTHY)) as healthy:
        urls: Any = [hung.url, healthy.url]
        use(twin, checks(**options), urls, timeout=1, strategy=strategy, retry=RetryPolicy(max_attempts=1))
        assert len(hung.conversations) == 1


@both
def test_a_slow_server_uses_only_its_share_of_the_time(twin: str, strategy: str) -> None:
    with RawServer(trickling) as slow, RawServer(answers(HEALTHY)) as healthy:
        urls: Any = [slow.url, healthy.url]
        use(twin, checks(timeout=2), urls, timeout=2, strategy=strategy)
        assert len(slow.conversations) == 1


@both
def test_the_deadline_holds_if_no_server_responds(twin: str, strategy: str) -> None:
    started = time.monotonic()
    with RawServer(silent) as one, RawServer(trickling) as other:
        urls: Any = [one.url, other.url]
        with pytest.raises(RequestTimeoutError):
            use(twin, checks(timeout=0.8), urls, timeout=30, strategy=strategy)
        # Both were tried in that time.
        assert len(one.conversations) == len(other.conversations) == 1
    assert time.monotonic() - started < 25
