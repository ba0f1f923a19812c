"""Calls of one client that wait for the same flow or key: a call that times out does not release another's claim."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from stepflow_client._rules.lost_creation import RunRegistry
from stepflow_client.errors import RequestTimeoutError

from tests.unit.both_twins import FLOW, TWINS, Server, call_with_handler


@pytest.mark.parametrize("key", [None, "doc-42"], ids=["a shared flow", "a key"])
@pytest.mark.parametrize("twin", TWINS)
def test_a_call_that_times_out_does_not_release_the_claim(
    twin: str, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[bytes] = []
    releases: list[bytes] = []

    def fail_claim(registry: RunRegistry, claim: bytes) -> bool:
        claims.append(claim)
        return False

    monkeypatch.setattr(RunRegistry, "try_lock_flow_or_key", fail_claim)
    monkeypatch.setattr(RunRegistry, "release_flow_or_key", lambda registry, claim: releases.append(claim))
    server = Server()
    # The holder of a key's claim may be creating its run; a flow may be stored twice.
    with pytest.raises(RequestTimeoutError, match="idempotency key 'doc-42'") if key else nullcontext():
        call_with_handler(
            twin,
            server,
            lambda client: client.run(FLOW, {"n": 1}, timeout=0.2, idempotency_key=key),
            server_release="0.13",
        )
    assert server.request_lines.count("POST /runs") == (0 if key else 1)
    assert claims
    assert releases == []
