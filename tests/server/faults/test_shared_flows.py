"""If the response to a creation is lost, the client never returns another caller's run of the same flow."""

from __future__ import annotations

import asyncio

import pytest
from stepflow_client import (
    AmbiguousRunError,
    RetryPolicy,
    StepflowClient,
)

from tests.fault_proxy import FaultProxy, Script
from tests.server.faults.proxied import (
    CREATE,
    SEARCHED_RUNS,
    close_client,
    flow,
    hang_up,
    make_client,
    on_first_connection,
)
from tests.server.flows import unique
from tests.timings import set_timings

pytestmark = [pytest.mark.faults, pytest.mark.anyio]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("cut", [Script(within=CREATE, cut_answer=0), Script(within=CREATE, cut_request=40)])
async def test_a_lost_run_of_a_flow_that_others_run_is_ambiguous(
    twin: str, cut: Script, server_url: str, release: str
) -> None:
    name = unique("foreign")
    async with StepflowClient(server_url, server_release=release) as other:
        flow_id = (await other.store_flow(flow(name))).flow_id
        theirs = await other.create_run(flow_id, {"who": "other"})
        with FaultProxy(server_url, on_first_connection(cut)) as proxy:
            client = make_client(twin, proxy.url, server_release=release)
            with pytest.raises(AmbiguousRunError) as caught:
                await client.create_run(flow_id, {"who": "self"})
            await close_client(client)
        runs = [run.run_id for run in (await other.list_runs(flow_name=name)).runs]
        assert sorted(caught.value.candidates) == sorted(runs)
        assert theirs.run_id in runs
        assert len(runs) == (2 if cut.cut_request is None else 1)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_creation_that_created_no_run_is_repeated(twin: str, server_url: str, release: str) -> None:
    name = unique("none")
    async with StepflowClient(server_url, server_release=release) as direct:
        flow_id = (await direct.store_flow(flow(name))).flow_id
        with FaultProxy(server_url, on_first_connection(Script(within=CREATE, cut_request=40))) as proxy:
            client = make_client(twin, proxy.url, server_release=release)
            created = await client.create_run(flow_id, {"n": 1})
            await close_client(client)
            assert proxy.faults == 1
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [created.run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("private_copy", [False, True])
async def test_each_client_finds_its_own_run_of_a_flow(
    twin: str, private_copy: bool, server_url: str, release: str
) -> None:
    same = flow(unique("shared"))
    async with StepflowClient(server_url, server_release=release) as other:
        with FaultProxy(server_url, on_first_connection(Script(within=CREATE, cut_request=40))) as proxy:
            client = make_client(twin, proxy.url, server_release=release)
            for number in range(3):
                await other.run(same, {"who": "other", "number": number})
            # This request never arrives, so the search finds only the other client's runs.
            result = await client.run(same, {"who": "self"}, private_copy=private_copy)
            await close_client(client)
            assert proxy.faults == 1
        assert result.output == {"who": "self"}
        assert len((await other.list_runs(flow_name=same["name"])).runs) == 4


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_lost_run_is_found_behind_many_newer_runs(
    twin: str, server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, searched_runs=SEARCHED_RUNS)
    name, other_name = unique("below"), unique("others")
    async with StepflowClient(server_url, server_release=release) as direct:
        other = (await direct.store_flow(flow(other_name))).flow_id

        def script(number: int) -> Script:
            # The response is lost, and for a while nothing gets through.
            if number == 0:
                return Script(within=CREATE, cut_answer=0)
            return Script(refuse=not finished.is_set())

        finished = asyncio.Event()
        with FaultProxy(server_url, script) as proxy:
            client = make_client(twin, proxy.url, server_release=release, retry=RetryPolicy(max_attempts=1))
            creating = asyncio.ensure_future(client.submit(flow(name), {"n": 1}))
            while len(proxy.connections) < 2:  # noqa: ASYNC110 - the proxy has no event to wait for
                await asyncio.sleep(0.01)
            await asyncio.gather(*(direct.create_run(other, {"n": 2}) for _ in range(5 * SEARCHED_RUNS)))
            finished.set()
            run_id = await creating
            await close_client(client)
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("stored", ["by the call", "before"])
async def test_two_lost_calls_do_not_return_each_others_run(
    twin: str, stored: str, server_url: str, release: str
) -> None:
    same = flow(unique("two"))
    async with StepflowClient(server_url, server_release=release) as direct:
        flow_id = (await direct.store_flow(same)).flow_id

        def script(number: int) -> Script:
            # One request creates a run but loses its response; the other request never arrives.
            cuts = [Script(within=CREATE, cut_answer=0, delay=0.3), Script(within=CREATE, cut_request=40)]
            return cuts[number] if number < 2 else Script()

        with FaultProxy(server_url) as proxy:
            client = make_client(twin, proxy.url, server_release=release)
            await client.submit(same, {"n": 2})
            await hang_up(proxy, twin)
            proxy.script = lambda number: script(number - 1)
            if stored == "before":
                calls = [client.create_run(flow_id, {"n": number}) for number in range(2)]
            else:
                calls = [client.submit(same, {"n": number}) for number in range(2)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            await close_client(client)
        owners = {
            run.run_id: (await direct.get_result(run.run_id)).output["n"]
            for run in (await direct.list_runs(flow_name=same["name"])).runs
        }
        assert len(set(owners.values())) == len(owners), "one run for each call at most"
        for number, each in enumerate(outcomes):
            if isinstance(each, AmbiguousRunError):
                assert set(each.candidates) >= {run_id for run_id, owner in owners.items() if owner == number}
            else:
                # Once the other call has its response, the remaining run must belong to this call.
                assert owners[each if isinstance(each, str) else each.run_id] == number


async def test_no_other_call_returns_the_run_of_a_cancelled_call(server_url: str, release: str) -> None:
    same = flow(unique("taken"))

    def script(number: int) -> Script:
        cuts = [Script(within=CREATE, cut_answer=0, stall=True), Script(within=CREATE, cut_request=40)]
        return cuts[number] if number < 2 else Script()

    with FaultProxy(server_url) as proxy:
        async with StepflowClient(proxy.url, server_release=release) as client:
            await client.submit(same, {"n": 2})
            await hang_up(proxy, "async")
            proxy.script = lambda number: script(number - 1)
            calls = [asyncio.ensure_future(client.submit(same, {"n": number})) for number in range(2)]
            while sum(each.faulted for each in proxy.connections[1:3]) < 2:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            # Find out which call uses the silent connection.
            await asyncio.sleep(0.2)
            silent = calls[int(b'"n":1' in proxy.connections[1].request)]
            silent.cancel()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            runs = (await client.list_runs(flow_name=same["name"])).runs
            assert len(runs) == 2
            errors = [each for each in outcomes if isinstance(each, AmbiguousRunError)]
            assert [each.candidates for each in errors] == [[runs[0].run_id]]
            assert silent.cancelled()
            # Later calls cannot return it either, because the flow has a new ID from now on.
            await hang_up(proxy, "async")
            later = len(proxy.connections)
            proxy.script = lambda number: Script(within=CREATE, cut_request=40) if number == later else Script()
            assert (await client.run(same, {"n": 3})).output == {"n": 3}
            assert len({run.flow_id for run in (await client.list_runs(flow_name=same["name"])).runs}) == 2
