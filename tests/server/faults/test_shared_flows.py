"""Creations whose response is lost, of a flow that others run as well: nobody gets the run of another."""

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
    LOOKED_AT,
    closed,
    first,
    flow,
    hung_up,
    made,
)
from tests.server.flows import unique
from tests.timings import set_timings

pytestmark = [pytest.mark.faults, pytest.mark.anyio]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("cut", [Script(within=CREATE, cut_answer=0), Script(within=CREATE, cut_request=40)])
async def test_a_lost_run_of_a_flow_that_others_run_is_never_guessed(
    twin: str, cut: Script, server_url: str, release: str
) -> None:
    name = unique("foreign")
    async with StepflowClient(server_url, server_release=release) as other:
        flow_id = (await other.store_flow(flow(name))).flow_id
        theirs = await other.create_run(flow_id, {"who": "other"})
        with FaultProxy(server_url, first(cut)) as proxy:
            client = made(twin, proxy.url, server_release=release)
            with pytest.raises(AmbiguousRunError) as caught:
                await client.create_run(flow_id, {"who": "self"})
            await closed(client)
        runs = [run.run_id for run in (await other.list_runs(flow_name=name)).runs]
        assert sorted(caught.value.candidates) == sorted(runs)
        assert theirs.run_id in runs
        assert len(runs) == (2 if cut.cut_request is None else 1)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_creation_that_left_no_run_at_all_is_sent_again(twin: str, server_url: str, release: str) -> None:
    name = unique("none")
    async with StepflowClient(server_url, server_release=release) as direct:
        flow_id = (await direct.store_flow(flow(name))).flow_id
        with FaultProxy(server_url, first(Script(within=CREATE, cut_request=40))) as proxy:
            client = made(twin, proxy.url, server_release=release)
            created = await client.create_run(flow_id, {"n": 1})
            await closed(client)
            assert proxy.faults == 1
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [created.run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("private_copy", [False, True])
async def test_each_client_finds_its_own_run_of_a_flow(
    twin: str, private_copy: bool, server_url: str, release: str
) -> None:
    same = flow(unique("shared"))
    async with StepflowClient(server_url, server_release=release) as other:
        with FaultProxy(server_url, first(Script(within=CREATE, cut_request=40))) as proxy:
            client = made(twin, proxy.url, server_release=release)
            for number in range(3):
                await other.run(same, {"who": "other", "number": number})
            # Nothing of this one arrives, while runs of the other client are all that there is to be seen.
            found = await client.run(same, {"who": "self"}, private_copy=private_copy)
            await closed(client)
            assert proxy.faults == 1
        assert found.output == {"who": "self"}
        assert len((await other.list_runs(flow_name=same["name"])).runs) == 4


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_lost_run_is_found_below_many_newer_ones(
    twin: str, server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, searched_runs=LOOKED_AT)
    name, others = unique("below"), unique("others")
    async with StepflowClient(server_url, server_release=release) as direct:
        other = (await direct.store_flow(flow(others))).flow_id

        def script(number: int) -> Script:
            # The answer is lost, and for a while nothing gets through.
            if number == 0:
                return Script(within=CREATE, cut_answer=0)
            return Script(refuse=not finished.is_set())

        finished = asyncio.Event()
        with FaultProxy(server_url, script) as proxy:
            client = made(twin, proxy.url, server_release=release, retry=RetryPolicy(max_attempts=1))
            creating = asyncio.ensure_future(client.submit(flow(name), {"n": 1}))
            while len(proxy.connections) < 2:  # noqa: ASYNC110 - the proxy has no event to wait for
                await asyncio.sleep(0.01)
            await asyncio.gather(*(direct.create_run(other, {"n": 2}) for _ in range(5 * LOOKED_AT)))
            finished.set()
            run_id = await creating
            await closed(client)
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("stored", ["by the call", "before"])
async def test_of_two_lost_calls_none_takes_the_run_of_the_other(
    twin: str, stored: str, server_url: str, release: str
) -> None:
    same = flow(unique("two"))
    async with StepflowClient(server_url, server_release=release) as direct:
        flow_id = (await direct.store_flow(same)).flow_id

        def script(number: int) -> Script:
            # One run is created and its answer lost, when the other request is gone too, which never arrives.
            cuts = [Script(within=CREATE, cut_answer=0, delay=0.3), Script(within=CREATE, cut_request=40)]
            return cuts[number] if number < 2 else Script()

        with FaultProxy(server_url) as proxy:
            client = made(twin, proxy.url, server_release=release)
            await client.submit(same, {"n": 2})
            await hung_up(proxy, twin)
            proxy.script = lambda number: script(number - 1)
            if stored == "before":
                calls = [client.create_run(flow_id, {"n": number}) for number in range(2)]
            else:
                calls = [client.submit(same, {"n": number}) for number in range(2)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            await closed(client)
        owners = {
            run.run_id: (await direct.get_result(run.run_id)).output["n"]
            for run in (await direct.list_runs(flow_name=same["name"])).runs
        }
        assert len(set(owners.values())) == len(owners), "one run for each call at most"
        for number, each in enumerate(found):
            if isinstance(each, AmbiguousRunError):
                assert set(each.candidates) >= {run_id for run_id, owner in owners.items() if owner == number}
            else:
                # That the other call has got its answer tells that the run left is this one's.
                assert owners[each if isinstance(each, str) else each.run_id] == number


async def test_the_run_of_a_cancelled_call_is_taken_by_no_other(server_url: str, release: str) -> None:
    same = flow(unique("taken"))

    def script(number: int) -> Script:
        cuts = [Script(within=CREATE, cut_answer=0, stall=True), Script(within=CREATE, cut_request=40)]
        return cuts[number] if number < 2 else Script()

    with FaultProxy(server_url) as proxy:
        async with StepflowClient(proxy.url, server_release=release) as client:
            await client.submit(same, {"n": 2})
            await hung_up(proxy, "async")
            proxy.script = lambda number: script(number - 1)
            calls = [asyncio.ensure_future(client.submit(same, {"n": number})) for number in range(2)]
            while sum(each.faulted for each in proxy.connections[1:3]) < 2:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            # Which of them has got the connection that is silent?
            await asyncio.sleep(0.2)
            silent = calls[int(b'"n":1' in proxy.connections[1].request)]
            silent.cancel()
            found = await asyncio.gather(*calls, return_exceptions=True)
            runs = (await client.list_runs(flow_name=same["name"])).runs
            assert len(runs) == 2
            errors = [each for each in found if isinstance(each, AmbiguousRunError)]
            assert [each.candidates for each in errors] == [[runs[0].run_id]]
            assert silent.cancelled()
            # No later call can take it either: the flow has another id from now on.
            await hung_up(proxy, "async")
            later = len(proxy.connections)
            proxy.script = lambda number: Script(within=CREATE, cut_request=40) if number == later else Script()
            assert (await client.run(same, {"n": 3})).output == {"n": 3}
            assert len({run.flow_id for run in (await client.list_runs(flow_name=same["name"])).runs}) == 2
