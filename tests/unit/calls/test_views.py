"""`with_options` returns a client with default options."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, StepflowClient, SyncStepflowClient
from stepflow_client._calls.method_options import OPTION_NAMES, merge_options
from stepflow_client._data.arguments import check_client

from tests.unit.calls.test_run_options import keyword_names

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize("name", sorted(OPTION_NAMES))
def test_the_method_accepts_its_options(name: str) -> None:
    assert keyword_names(getattr(StepflowClient, name)) >= OPTION_NAMES[name]


def test_arguments_override_options_and_mappings_are_merged() -> None:
    options = {"timeout": 3, "variables": {"a": 1, "b": 2}}
    arguments = {"timeout": None, "variables": {"b": 3}}
    assert merge_options(options, arguments) == {"timeout": None, "variables": {"a": 1, "b": 3}}


class RecordingClient(SyncStepflowClient):
    def submit(self, flow: Any, input: Any = None, overrides: Any = None, **options: Any) -> Any:
        self.last_call = (flow, input, options)
        return "01900000-0000-7000-8000-000000000001"

    start_run = submit


def test_a_view_passes_the_options_that_a_method_accepts() -> None:
    client = RecordingClient(URL)
    view = client.with_options(timeout=3, cache=None, variables={"a": 1})
    view.submit({"steps": []}, 1, variables={"b": 2})
    assert view.last_call == ({"steps": []}, 1, {"timeout": 3, "variables": {"a": 1, "b": 2}})
    further = view.with_options(timeout=5)
    further.start_run({"steps": []})
    assert further.last_call == ({"steps": []}, None, {"timeout": 5, "variables": {"a": 1}})
    client.submit({"steps": []})
    assert client.last_call == ({"steps": []}, None, {})


@pytest.mark.parametrize("kind", [StepflowClient, SyncStepflowClient])
def test_a_view_is_a_client_with_the_same_connections(kind: Any) -> None:
    client = kind(URL)
    view = client.with_options(timeout=3)
    assert isinstance(view, kind)
    assert view._connection is client._connection
    assert view._services is client._services
    assert repr(view) == repr(client)
    assert check_client(view, "client", is_async=kind is StepflowClient) is view
    unpickled = pickle.loads(pickle.dumps(view))
    assert unpickled.url == client.url
    assert unpickled._options == {"timeout": 3}


def test_an_async_view_applies_its_timeout() -> None:
    async def run() -> Any:
        async with StepflowClient(URL, retry=0) as client:
            return await client.with_options(timeout=-1).run({"steps": []})

    with pytest.raises(InvalidArgumentError, match="timeout"):
        asyncio.run(run())


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="unknown option 'timout'") as caught:
        SyncStepflowClient(URL).with_options(timout=3)  # type: ignore[call-arg]
    assert caught.value.hint == "did you mean 'timeout'?"
