"""Checks openapi/stepflow.yaml against the released server that it describes, in both directions.

Forward: every recorded request and response matches the description and contains nothing undocumented. Backward: if
any part is removed from the description, the recorded traffic no longer matches, so every part has been observed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.server.conformance_server import BUILTIN, running_server
from tests.server.conformance_spec import Spec
from tests.server.conformance_traffic import Transport, record

SPEC = Spec.load()
SCHEMAS: dict[str, dict[str, Any]] = SPEC.document["components"]["schemas"]
REQUESTS = {"StoreFlowRequest", "CreateRunRequest", "StoreBlobRequest"}
PROPERTIES = [(schema, name) for schema, body in SCHEMAS.items() for name in body.get("properties", ())]
OPTIONAL = [
    (schema, name)
    for schema, name in PROPERTIES
    if schema not in REQUESTS and name not in SCHEMAS[schema].get("required", ())
]
ANSWERS = [(operation, status, content_type) for operation, status, content_type, _ in SPEC.media()]
PARAMETERS = [
    (operation, parameter["name"])
    for operation, body in SPEC.operations.items()
    for parameter in body["all"]
    if parameter["in"] != "path"
]
HEADERS = [
    (operation, status, header)
    for operation, body in SPEC.operations.items()
    for status, response in body["responses"].items()
    for header in SPEC.resolve(response).get("headers", ())
]


@pytest.fixture(scope="module")
def traffic() -> list[Transport]:
    return record()


# -- forward -----------------------------------------------------------------------------------------


def test_traffic_matches_the_description(traffic: list[Transport]) -> None:
    assert [fault for exchange in traffic for fault in SPEC.faults(exchange)] == []


def test_every_operation_succeeds_at_least_once(traffic: list[Transport]) -> None:
    succeeded = Counter(exchange.operation for exchange in traffic if exchange.status == 200)
    assert set(succeeded) == set(SPEC.operations)


def test_unknown_paths_and_methods_respond_as_the_introduction_says() -> None:
    with running_server(BUILTIN) as url, httpx.Client(base_url=url, trust_env=False) as client:
        unknown_path = client.get("/nowhere")
        assert (unknown_path.status_code, unknown_path.content) == (200, b"")
        assert unknown_path.headers["content-type"] == "application/grpc"
        wrong_method = client.put("/runs")
        assert (wrong_method.status_code, wrong_method.content) == (405, b"")


# -- backward ----------------------------------------------------------------------------------------


Reduced = tuple[Spec, list[Transport]]
"""A description without some part, and the exchanges that may depend on that part."""


def fits(spec: Spec, traffic: list[Transport]) -> bool:
    return not any(spec.faults(exchange) for exchange in traffic)


def mentioning(traffic: list[Transport], schema: str) -> list[Transport]:
    """Return the exchanges whose bodies a schema may describe."""

    def may_contain(exchange: Transport) -> bool:
        operation = SPEC.operations[exchange.operation]
        bodies = [operation.get("requestBody"), SPEC.resolve(operation["responses"][str(exchange.status)])]
        return not exchange.broken and schema in SPEC.schemas_below(bodies)

    return [exchange for exchange in traffic if may_contain(exchange)]


def without_property(traffic: list[Transport], schema: str, name: str) -> Reduced:
    spec = SPEC.copy()
    body = spec.document["components"]["schemas"][schema]
    del body["properties"][name]
    body["required"] = [each for each in body.get("required", ()) if each != name]
    return spec, mentioning(traffic, schema)


def with_required_property(traffic: list[Transport], schema: str, name: str) -> Reduced:
    spec = SPEC.copy()
    body = spec.document["components"]["schemas"][schema]
    body["required"] = [*body.get("required", ()), name]
    return spec, mentioning(traffic, schema)


def without_answer(traffic: list[Transport], operation: str, status: str, content_type: str | None) -> Reduced:
    spec = SPEC.copy()
    responses = spec.operations[operation]["responses"]
    if content_type is None:
        del responses[status]
    else:
        # Copy a shared response, so that only this operation loses the content type.
        response = dict(spec.resolve(responses[status]))
        response["content"] = {key: each for key, each in response["content"].items() if key != content_type}
        responses[status] = response
    return spec, [exchange for exchange in traffic if exchange.operation == operation]


def without_parameter(traffic: list[Transport], operation: str, name: str) -> Reduced:
    spec = SPEC.copy()
    parameters = spec.operations[operation]["all"]
    parameters[:] = [each for each in parameters if each["name"] != name or each["in"] == "path"]
    valid = [each for each in traffic if each.operation == operation and not each.broken]
    return spec, valid


def without_header(traffic: list[Transport], operation: str, status: str, header: str) -> Reduced:
    spec = SPEC.copy()
    del spec.operations[operation]["responses"][status]["headers"][header]
    return spec, [exchange for exchange in traffic if exchange.operation == operation]


@pytest.mark.parametrize(
    ("remove", "parts"),
    [
        (without_property, PROPERTIES),
        (with_required_property, OPTIONAL),
        (without_answer, ANSWERS),
        (without_parameter, PARAMETERS),
        (without_header, HEADERS),
    ],
)
def test_every_described_part_occurs_in_the_traffic(
    traffic: list[Transport], remove: Callable[..., Reduced], parts: list[tuple[str, ...]]
) -> None:
    assert parts
    assert [each for each in parts if fits(*remove(traffic, *each))] == []


# -- the description itself ----------------------------------------------------------------------------


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key not in ("example", "examples"):
                yield from nodes(value, f"{path}/{key}")


def test_everything_has_a_description() -> None:
    def is_described(node: dict[str, Any]) -> bool:
        return bool(SPEC.resolve(node).get("description"))

    for operation in SPEC.operations.values():
        assert operation["summary"].endswith(".")
        assert is_described(operation)
        assert all(is_described(each) for each in [*operation["all"], *operation["responses"].values()])
    for path, schema in nodes(SCHEMAS):
        for name, body in schema.get("properties", {}).items() if isinstance(schema, dict) else ():
            assert is_described(body), f"{path}/{name}"
    assert [name for name, schema in SCHEMAS.items() if not is_described(schema)] == []


def test_examples_fit_their_schemas() -> None:
    count = 0
    for path, node in nodes(SPEC.document):
        if path.endswith("/properties"):
            continue
        Draft202012Validator.check_schema(SPEC.resolve(node.get("schema", {})))
        examples = [*node.get("examples", ()), *([node["example"]] if "example" in node else ())]
        for example in examples:
            count += 1
            assert SPEC.schema_faults(node.get("schema", node), example) == [], path
    assert count > 100


def test_every_property_has_an_example() -> None:
    def has_example(node: dict[str, Any]) -> bool:
        if "$ref" in node or SPEC.resolve(node.get("items", {})).get("type") == "object":
            return True
        return "examples" in node or "example" in node

    assert [(schema, name) for schema, name in PROPERTIES if not has_example(SCHEMAS[schema]["properties"][name])] == []
    assert [
        (operation, parameter["name"])
        for operation, body in SPEC.operations.items()
        for parameter in body["all"]
        if not has_example(parameter)
    ] == []


# -- the checks themselves ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        lambda exchange: {"answer": exchange.answer.replace(b'"status"', b'"extra": 1, "status"', 1)},
        lambda exchange: {"answer": exchange.answer.replace(b'"healthy"', b"7")},
        lambda exchange: {"answer": exchange.answer.replace(b"Z", b"+00:00")},
        lambda exchange: {"answer": b"<html>"},
        lambda exchange: {"status": 418},
        lambda exchange: {"answer_type": "text/html"},
        lambda exchange: {"answer_type": None},
        lambda exchange: {"query": {"x": "1"}},
        lambda exchange: {"broken": True},
    ],
)
def test_a_deviation_is_found(traffic: list[Transport], spoil: Callable[[Transport], dict[str, Any]]) -> None:
    exchange = next(each for each in traffic if each.operation == "health_check")
    spoiled = Transport(**{**vars(exchange), **spoil(exchange)})
    assert SPEC.faults(exchange) == []
    assert SPEC.faults(spoiled) != []
