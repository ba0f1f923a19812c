"""The table of operations: that it names what the API has, and what a 404 without a body is taken for."""

from __future__ import annotations

import httpx
import pytest
from stepflow_client import NotFoundError
from stepflow_client._rules.operations import OPERATIONS, operation_of

from tests.unit.both_twins import RUN_ID, TWINS, call

BLOB = "a" * 64


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_found_by_its_request(name: str) -> None:
    operation = OPERATIONS[name]
    path = operation.path.replace("{run_id}", RUN_ID).replace("{flow_id}", BLOB).replace("{blob_id}", BLOB)
    found = operation_of(operation.method, path.replace("{step_id}", "a"))
    assert found is operation


def test_what_the_api_does_not_have_is_no_operation() -> None:
    assert operation_of("PATCH", "/runs") is None
    assert operation_of("GET", "/runs/a/b/c/d") is None


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("content", "hint"),
    [(b"", "the server has no such blob"), (b"not here", None), (b'{"message": "gone"}', None)],
    ids=["nothing", "text", "JSON"],
)
def test_a_404_without_a_body_is_explained(twin: str, content: bytes, hint: str | None) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(404, content=content))
    with pytest.raises(NotFoundError) as caught:
        call(twin, transport, lambda client: client.get_blob(BLOB), server_release="0.13")
    assert caught.value.hint == hint


@pytest.mark.parametrize("twin", TWINS)
def test_one_that_is_about_a_run_names_runs(twin: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(404))
    with pytest.raises(NotFoundError) as caught:
        call(twin, transport, lambda client: client.get_run(RUN_ID), server_release="0.13")
    assert (caught.value.hint, caught.value.run_id) == ("the server has no such run", RUN_ID)
