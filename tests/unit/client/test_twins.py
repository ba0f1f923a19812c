"""The async and sync clients have the same names, signatures and requests."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from stepflow_client import NOT_GIVEN, StepflowClient, SyncStepflowClient

from tests.unit.both_twins import CALLS, FLOW, RUN_ID, URL, Server, call_with_handler


def public_names(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def sync_name(name: str) -> str:
    return {"aclose": "close"}.get(name, name)


def test_a_plain_with_block_explains_async_with() -> None:
    client = StepflowClient(URL)
    with pytest.raises(TypeError, match="use `async with`"), client:  # type: ignore[attr-defined]
        pass
    assert not hasattr(client, "__enter__")
    assert not isinstance(client, AbstractContextManager)
    assert isinstance(SyncStepflowClient(URL), AbstractContextManager)
    with pytest.raises(TypeError, match=r"protocol$"), client.handle(RUN_ID):  # type: ignore[attr-defined]
        pass


METHODS = sorted(name for name in public_names(StepflowClient) if callable(getattr(StepflowClient, name)))


def test_both_clients_have_the_same_names() -> None:
    assert {sync_name(name) for name in public_names(StepflowClient)} == public_names(SyncStepflowClient)
    assert not hasattr(SyncStepflowClient, "aclose")
    assert not hasattr(StepflowClient, "close")


def test_every_method_has_a_test_call() -> None:
    # Handles and views call the other methods.
    missing = (set(METHODS) - {"aclose", "from_env", "handle", "start_run", "with_options"}) ^ set(CALLS)
    assert not missing, f"add a call to CALLS in tests/unit/both_twins.py, and its response to Server.body: {missing}"


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_both_clients_have_the_same_signatures(name: str) -> None:
    ours = inspect.signature(getattr(StepflowClient, name))
    theirs = inspect.signature(getattr(SyncStepflowClient, sync_name(name)))
    assert list(ours.parameters) == list(theirs.parameters)
    for parameter, twin in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
        assert (parameter.kind, parameter.default) == (twin.kind, twin.default)
        annotation = str(parameter.annotation).replace(" | AsyncIterable[Any]", "").replace("Async", "")
        assert annotation == str(twin.annotation)
    returned = re.sub(r"\b(EventStream|OutcomeStream|RunHandle|RunPager)\b", r"Sync\1", str(ours.return_annotation))
    assert returned == str(theirs.return_annotation)


@pytest.mark.parametrize("cls", [StepflowClient, SyncStepflowClient])
def test_from_env_accepts_the_same_arguments(cls: type) -> None:
    own = dict(inspect.signature(cls).parameters)
    named = dict(inspect.signature(cls.from_env).parameters)
    assert list(named) == list(own)
    for name, parameter in named.items():
        assert parameter.kind == own[name].kind
        # Defaults from the environment; timeout=None would mean no limit.
        differing = {"base_url": None, "timeout": NOT_GIVEN, "auth": None}
        expected = differing.get(name, own[name].default)
        assert parameter.default == expected
        assert str(parameter.annotation).replace(" | NotGiven", "").removesuffix(" | None") == str(
            own[name].annotation
        ).removesuffix(" | None")


@pytest.mark.parametrize("name", METHODS)
def test_only_the_async_methods_are_coroutines(name: str) -> None:
    ours, theirs = getattr(StepflowClient, name), getattr(SyncStepflowClient, sync_name(name))
    # These return iterators but check their arguments at the call, so they are not generator functions.
    if name in ("run_events", "iter_runs", "map"):
        arguments: tuple[Any, ...] = {"run_events": (RUN_ID,), "map": (FLOW, [])}.get(name, ())
        iterators = (
            ours(StepflowClient("http://127.0.0.1:9"), *arguments),
            theirs(SyncStepflowClient("http://127.0.0.1:9"), *arguments),
        )
        assert (isinstance(iterators[0], AsyncIterator), isinstance(iterators[1], Iterator)) == (True, True)
    elif name not in ("from_env", "handle", "with_options"):
        assert inspect.iscoroutinefunction(ours) != inspect.isasyncgenfunction(ours)
    assert not inspect.iscoroutinefunction(theirs)
    assert inspect.isgeneratorfunction(theirs) == inspect.isasyncgenfunction(ours)


def docstrings(cls: type) -> dict[str, str]:
    texts = {cls.__name__: inspect.getdoc(cls) or ""}
    for name in public_names(cls) | {"__init__"}:
        texts[name] = inspect.getdoc(getattr(cls, name)) or ""
    return texts


def test_every_public_name_is_documented() -> None:
    for cls in (StepflowClient, SyncStepflowClient):
        assert [name for name, text in docstrings(cls).items() if not text] == []


def test_sync_docstrings_do_not_mention_async() -> None:
    for name, text in docstrings(SyncStepflowClient).items():
        assert not re.search(
            r"\b(await|async|asyncio|coroutine|aclose|event loop[^.])",
            text.replace("works inside a running event loop.", ""),
        ), name
        assert "StepflowClient(" not in text.replace("SyncStepflowClient(", ""), name


def test_docstring_examples_compile() -> None:
    for cls in (StepflowClient, SyncStepflowClient):
        examples = 0
        for name, text in docstrings(cls).items():
            for block in re.findall(r"Example:\n    ```python\n((?:    .*\n|\n)+?)    ```", text + "\n"):
                lines = [line[4:] for line in block.splitlines()]
                head = "async def example(client):" if cls is StepflowClient else "def example(client):"
                compile("\n".join([head, *(f"    {line}" for line in lines)]), name, "exec")
                examples += 1
        assert examples >= 3
        assert examples == sum(text.count("Example:") for text in docstrings(cls).values())


TAG = re.compile(rb'(?<="stepflow-client":")[0-9a-f]{32}(?:-\d+)?(?=")')


def as_list(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name", CALLS)
def test_both_clients_send_the_same_requests_and_return_the_same_results(name: str) -> None:
    requests: list[list[tuple[str, str, bytes]]] = []
    results: list[Any] = []
    for twin in ("async", "sync"):
        server = Server()
        if name == "cancel_run":
            running = {"runs": [{"runId": RUN_ID, "flowId": "f", "status": 1}]}
            server.responses["GET /runs"] = httpx.Response(200, json=running)
        results.append(as_list(call_with_handler(twin, server, CALLS[name])))
        # Each client adds its own tag to the flows it runs.
        sent = [(request.method, str(request.url), TAG.sub(b"tag", request.content)) for request in server.requests]
        # These calls send some of their requests concurrently, so two readers may both fetch the same flow.
        requests.append(sorted({*sent}) if name in ("compare_runs", "explain_run") else sent)
    assert requests[0] == requests[1]
    assert results[0] == results[1]


def test_the_sync_client_works_inside_a_running_event_loop() -> None:
    async def main() -> Any:
        with SyncStepflowClient(URL, transport=httpx.MockTransport(Server())) as client:
            return client.run(FLOW, {"n": 1}).output

    assert asyncio.run(main()) == {"n": 1}


def test_threads_can_share_a_sync_client() -> None:
    lock = threading.Lock()
    server = Server()
    mismatches: list[str] = []

    def echo(request: httpx.Request) -> httpx.Response:
        flow_id = request.url.path.rpartition("/")[2]
        if flow_id == "health":
            with lock:
                return server(request)
        return httpx.Response(200, json={"flowId": flow_id, "flow": {}})

    with SyncStepflowClient(URL, transport=httpx.MockTransport(echo)) as client:
        start = threading.Barrier(8)

        def work(number: int) -> None:
            start.wait()
            for turn in range(50):
                flow_id = f"{number}-{turn}"
                if client.get_flow(flow_id).flow_id != flow_id:
                    mismatches.append(flow_id)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert mismatches == []


def test_tasks_can_share_an_async_client() -> None:
    async def echo(request: httpx.Request) -> httpx.Response:
        flow_id = request.url.path.rpartition("/")[2]
        await asyncio.sleep(0)
        return Server()(request) if flow_id == "health" else httpx.Response(200, json={"flowId": flow_id, "flow": {}})

    async def main() -> list[str]:
        async with StepflowClient(URL, transport=httpx.MockTransport(echo)) as client:
            flows = await asyncio.gather(*(client.get_flow(str(number)) for number in range(100)))
            return [each.flow_id for each in flows]

    assert asyncio.run(main()) == [str(number) for number in range(100)]
