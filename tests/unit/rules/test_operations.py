"""The operation table matches the API, and 404 responses without a body are explained."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import httpx
import pytest
import stepflow_client
from stepflow_client import NotFoundError
from stepflow_client._rules.operations_and_releases import OPERATIONS, create_run, find_operation, get_run

from tests.unit.both_twins import RUN_ID, TWINS, call

BLOB = "a" * 64


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_found_by_its_request(name: str) -> None:
    operation = OPERATIONS[name]
    path = operation.path.replace("{run_id}", RUN_ID).replace("{flow_id}", BLOB).replace("{blob_id}", BLOB)
    assert find_operation(operation.method, path.replace("{step_id}", "a")) is operation


def test_unknown_requests_have_no_operation() -> None:
    assert find_operation("PATCH", "/runs") is None
    assert find_operation("GET", "/runs/a/b/c/d") is None


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("content", "hint"),
    [(b"", "the server has no such blob"), (b"not here", None), (b'{"message": "gone"}', None)],
    ids=["empty", "text", "JSON"],
)
def test_a_404_without_a_body_is_explained(twin: str, content: bytes, hint: str | None) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(404, content=content))
    with pytest.raises(NotFoundError) as caught:
        call(twin, transport, lambda client: client.get_blob(BLOB), server_release="0.13")
    assert caught.value.hint == hint


@pytest.mark.parametrize("twin", TWINS)
def test_a_404_for_a_run_names_the_run(twin: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(404))
    with pytest.raises(NotFoundError) as caught:
        call(twin, transport, lambda client: client.get_run(RUN_ID), server_release="0.13")
    assert (caught.value.hint, caught.value.run_id) == ("the server has no such run", RUN_ID)


def test_requests_are_built_by_the_generated_code() -> None:
    request = create_run(body={"flowId": "f", "input": [1]})
    assert request.operation is create_run
    assert request.parts == {
        "method": "POST",
        "url": "/runs",
        "json": {"flowId": "f", "input": [1]},
        "headers": {"Content-Type": "application/json"},
    }
    # Arguments that are None are omitted.
    assert get_run("a/b", wait=None, timeout_secs=3).parts == {
        "method": "GET",
        "url": "/runs/a%2Fb",
        "params": {"timeoutSecs": 3},
    }


def test_no_private_name_of_the_generated_package_is_used() -> None:
    names = []
    for path in Path(stepflow_client.__file__).parent.rglob("*.py"):
        text = path.read_text("utf-8")
        if "stepflow_api" not in text and "_generated_module" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stepflow_api"):
                names += [name.name for name in node.names]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                # An operation's module, imported by name.
                names += [node.attr] if node.value.attr == "_generated_module" else []
    assert {"Client", "build_request", "METHOD", "PATH"} <= set(names)
    assert [name for name in names if re.match("_", name)] == []
