"""Arguments of `evaluate` are checked before the first request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, ResultCache
from stepflow_client.evaluation import evaluate, sync_evaluate
from stepflow_client.testing import fake_server

FLOW = {"steps": [], "output": {"$input": "$"}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chunk_size", 0),
        ("max_concurrency", 0),
        ("max_scores", 0),
        ("max_attempts", 0),
        ("retry_on", 3),
        ("on_lost", "retry"),
        ("on_cancel", "stop"),
        ("repeat", 0),
        ("check_input", "no"),
        ("include_durations", "no"),
        ("labels", {"a": 1}),
        ("journal", 3),
        ("journal", 0),
        ("variants", {"now": {}}),
        ("scores", [3]),
    ],
)
def test_an_invalid_argument_is_refused_before_the_first_request(name: str, value: Any) -> None:
    server = fake_server()

    async def main() -> None:
        async with server.client() as client:
            await evaluate(client, FLOW, [1], **{name: value})

    with pytest.raises(InvalidArgumentError):
        sync_evaluate(server.sync_client(), FLOW, [1], **{name: value})
    with pytest.raises(InvalidArgumentError):
        asyncio.run(main())
    assert server.requests == []


def test_a_client_from_with_options_is_refused() -> None:
    server = fake_server()
    with pytest.raises(InvalidArgumentError, match="does not accept a client from with_options") as caught:
        sync_evaluate(server.sync_client().with_options(cache=ResultCache()), FLOW, [1])
    assert "journal=" in str(caught.value.hint)
    assert server.requests == []
