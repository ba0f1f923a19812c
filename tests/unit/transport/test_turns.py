"""Calls of one client that take turns: one that has no time left for its own leaves the turn of another alone."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from stepflow_client._rules.lost_creation import RunRegistry
from stepflow_client.errors import RequestTimeoutError

from tests.unit.both_twins import FLOW, TWINS, Server, ask


@pytest.mark.parametrize("key", [None, "doc-42"], ids=["a shared flow", "a key"])
@pytest.mark.parametrize("twin", TWINS)
def test_a_call_without_time_takes_no_turn_away(twin: str, key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[bytes] = []
    ended: list[bytes] = []

    def is_taken(registry: RunRegistry, turn: bytes) -> bool:
        waited.append(turn)
        return False

    monkeypatch.setattr(RunRegistry, "try_claim_flow_or_key", is_taken)
    monkeypatch.setattr(RunRegistry, "release_flow_or_key", lambda registry, turn: ended.append(turn))
    server = Server()
    # Who has the turn of a key may be creating its run; a flow may be stored twice.
    with pytest.raises(RequestTimeoutError, match="idempotency key 'doc-42'") if key else nullcontext():
        ask(
            twin,
            server,
            lambda client: client.run(FLOW, {"n": 1}, timeout=0.2, idempotency_key=key),
            server_release="0.13",
        )
    assert server.asked.count("POST /runs") == (0 if key else 1)
    assert waited
    assert ended == []
