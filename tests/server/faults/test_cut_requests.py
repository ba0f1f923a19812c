"""If connections fail while a run is created or cancelled, each call still creates exactly one run."""

from __future__ import annotations

from collections import Counter

import pytest
from stepflow_client import (
    AmbiguousRunError,
    ConflictError,
    StepflowClient,
    StepflowClientError,
)

from tests.fault_proxy import FaultProxy, Script, answer
from tests.server.faults.proxied import (
    CREATE,
    SEARCHED_RUNS,
    close_client,
    flow,
    hang_up,
    make_client,
    on_first_connection,
    run_through_proxies,
)
from tests.server.flows import unique
from tests.timings import set_timings

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

CUTS = {
    ("async", "closed"): slice(None),
    ("sync", "closed"): slice(0, None, 3),
    ("async", "reset"): slice(1, None, 3),
    ("sync", "reset"): slice(2, None, 3),
}
"""The byte offsets of the cuts: every offset for one combination, every third one for the others."""


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("direction", ["request", "answer"])
@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_cut_at_every_byte_of_a_creation(
    twin: str, direction: str, how: str, server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, searched_runs=SEARCHED_RUNS)
    prefix = unique("cut")
    async with StepflowClient(server_url, server_release=release) as direct:
        with FaultProxy(server_url, on_first_connection(Script(within=CREATE))) as proxy:
            client = make_client(twin, proxy.url, server_release=release)
            await client.submit(flow(f"{prefix}-9999"), {"n": 1})
            await close_client(client)
            whole = proxy.connections[0]
        length = whole.sent if direction == "request" else whole.received
        assert length > 100
        offsets = list(range(length + 1))[CUTS[twin, how]]
        outcomes: dict[str, list[str]] = {}
        kinds: Counter[str] = Counter()

        async def attempt(proxy: FaultProxy, offset: int) -> None:
            cut = {f"cut_{direction}": offset}
            proxy.connections.clear()
            proxy.script = on_first_connection(Script(within=CREATE, reset=how == "reset", **cut))  # type: ignore[arg-type]
            client = make_client(twin, proxy.url, server_release=release)
            name = f"{prefix}-{offset:04d}"
            try:
                outcomes[name] = [await client.submit(flow(name), {"n": offset})]
                kinds["returned"] += 1
            except AmbiguousRunError as error:
                outcomes[name] = error.candidates
                kinds["ambiguous"] += 1
            except StepflowClientError as error:
                outcomes[name] = [] if error.run_id is None else [error.run_id]
                kinds[type(error).__name__] += 1
            finally:
                await close_client(client)
            assert proxy.connections[0].faulted or offset >= length - 2, offset

        await run_through_proxies(server_url, attempt, offsets)
        runs: dict[str, list[str]] = {}
        for run in (await direct.list_runs()).runs:
            runs.setdefault(run.flow_name or "", []).append(run.run_id)
        wrong = {name: (ids, runs.get(name)) for name, ids in outcomes.items() if runs.get(name) != ids}
        assert not wrong
        assert kinds == {"returned": len(offsets)}


@pytest.mark.parametrize(
    "script",
    [
        Script(refuse=True),
        Script(cut_answer=40, half_close=True, within=CREATE),
        Script(cut_request=40, half_close=True, within=CREATE),
        Script(answer=answer(502)),
        Script(answer=answer(503, retry_after=0)),
        Script(answer=answer(429, retry_after=0)),
        Script(answer=answer(408)),
        Script(instead=answer(502), within=CREATE),
        Script(instead=answer(503, body=b"reset reason: connection termination"), within=CREATE),
        Script(instead=answer(504, body=b'{"error": "upstream timed out"}'), within=CREATE),
        Script(instead=answer(502, body=b'{"code": 502, "message": "bad gateway"}'), within=CREATE),
        Script(instead=answer(500, body=b'{"error": {"code": 500, "message": "m", "status": "s"}}'), within=CREATE),
        Script(instead=answer(500, body=b'{"code": 500, "message": "state store error"}'), within=CREATE),
        Script(instead=answer(408), within=CREATE),
        Script(instead=answer(200, body=b"<html>"), within=CREATE),
    ],
    ids=[
        *("refuse", "half an answer", "half a request", "502", "503", "429", "408"),
        *("502 of a run", "503 of a run", "504 of a run", "502 in JSON", "500", "500 of old servers"),
        *("408 of a run", "a page"),
    ],
)
@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_one_failure_creates_one_run(twin: str, script: Script, server_url: str, release: str) -> None:
    name = unique("once")
    with FaultProxy(server_url) as proxy:
        client = make_client(twin, proxy.url, server_release=release)
        await client.submit(flow(name), {"n": 0})
        await hang_up(proxy, twin)
        proxy.script = lambda number: script if number == 1 else Script()
        run_id = await client.submit(flow(name), {"n": 1})
        await close_client(client)
        assert proxy.faults == 1
    async with StepflowClient(server_url) as direct:
        runs = [run.run_id for run in (await direct.list_runs(flow_name=name)).runs]
        assert len(runs) == 2
        assert runs[0] == run_id
        assert (await direct.get_result(run_id)).output == {"n": 1}


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_silent_connection_is_given_up_in_time(twin: str, server_url: str, release: str) -> None:
    name = unique("silent")
    with FaultProxy(server_url, on_first_connection(Script(within=CREATE, cut_answer=40, stall=True))) as proxy:
        client = make_client(twin, proxy.url, server_release=release, timeout=0.5)
        run_id = await client.submit(flow(name), {"n": 1})
        await close_client(client)
        assert proxy.faults == 1
    async with StepflowClient(server_url) as direct:
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [run_id]


@pytest.mark.parametrize("private_copy", [False, True])
@pytest.mark.parametrize("refusal", [answer(404), answer(401), answer(400)], ids=["404", "401", "400"])
async def test_a_rejected_search_creates_no_second_run(
    refusal: bytes, private_copy: bool, server_url: str, release: str
) -> None:
    name = unique("refused")
    async with StepflowClient(server_url, server_release=release) as direct:
        await direct.store_flow(flow(name))

        def script(number: int) -> Script:
            # After the lost response, something other than the server rejects all requests.
            return Script(within=CREATE, cut_answer=0) if number == 0 else Script(answer=refusal)

        with FaultProxy(server_url, script) as proxy:
            async with StepflowClient(proxy.url, server_release=release) as client:
                with pytest.raises(AmbiguousRunError):
                    await client.run(flow(name), {"n": 1}, private_copy=private_copy)
        assert len((await direct.list_runs(flow_name=name)).runs) == 1


async def test_a_cancellation_whose_response_was_lost(server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server_release=release) as direct:
        messages = {"messages": [{"role": "user", "content": "x"}]}
        step = {"id": "a", "component": "/builtin/openai", "input": messages}
        run_id = await direct.submit({"name": unique("cancel"), "steps": [step], "output": {"$step": "a"}}, [1])
        with FaultProxy(server_url, on_first_connection(Script(within=b"/cancel ", cut_answer=0))) as proxy:
            async with StepflowClient(proxy.url, server_release=release) as client:
                try:
                    run = await client.cancel_run(run_id)
                except ConflictError:
                    # The run had already failed, because there is no model.
                    run = await direct.get_run(run_id)
                    assert run.status.value == "failed"
                else:
                    assert run.status.value == "cancelled"
