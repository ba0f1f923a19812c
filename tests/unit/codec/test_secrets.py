"""Tokens, passwords and secret variables never appear in logs, reprs or errors."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import httpx
import pytest
from stepflow_client import StepflowClient, SyncStepflowClient
from stepflow_client._data.secrets import find_variable_secrets
from stepflow_client._embedded.config import ServerConfig
from stepflow_client._embedded.supervisor import LaunchPlan
from stepflow_client._http.http1_format import HttpRequest, HttpResponse
from stepflow_client._http.settings import TokenAuth, parse_url
from stepflow_client.errors import InvalidArgumentError, NotFoundError, StepflowClientError
from stepflow_client.types import FlowVariable

from tests.unit.both_twins import CALLS, EVENT, ITEM, RUN_ID, STEP, SUMMARY, TWINS, URL, Server, call, call_with_handler

TOKEN = "t0ken-t0ken-t0ken"
PASSWORD = "passw0rd-passw0rd"
SECRET = "s3cr3t-s3cr3t"
OWN_LOGGERS = "stepflow"

SECRET_FLOW = {
    "schemas": {
        "properties": {
            "variables": {
                "properties": {
                    "key": {"type": "string", "is_secret": True},
                    "keys": {"type": "object", "is_secret": True},
                    "name": {"type": "string"},
                }
            }
        }
    },
    "steps": [],
    "output": 1,
}


def all_text_of(error: BaseException) -> str:
    """Return every text form of an error and its causes."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error)), repr(error.args)]
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)  # type: ignore[assignment]
    return "\n".join(texts)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        (URL, {"auth": TOKEN}),
        (URL, {"auth": lambda: TOKEN}),
        (URL, {"auth": ("user", PASSWORD)}),
        (URL, {"headers": {"X-Api-Key": TOKEN}}),
        (f"http://user:{PASSWORD}@server:7840", {}),
    ],
)
def test_credentials_are_sent_and_never_shown(
    twin: str, url: str, credentials: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server()
    for name, operation in CALLS.items():
        if name == "cancel_run":
            continue
        call(twin, httpx.MockTransport(server), operation, url, **credentials)
    sent = [{**request.headers} for request in server.requests]
    assert all("authorization" in headers or "x-api-key" in headers for headers in sent)
    assert [record for record in caplog.records if record.name.startswith(OWN_LOGGERS)]
    for record in caplog.records:
        assert TOKEN not in record.getMessage()
        assert PASSWORD not in record.getMessage()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, ValueError])
def test_credentials_are_in_no_error(twin: str, failure: type[Exception]) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise failure("broken")

    for url, credentials in (
        (URL, {"auth": TOKEN}),
        (URL, {"auth": ("user", PASSWORD)}),
        (f"http://user:{PASSWORD}@server:7840", {}),
    ):
        with pytest.raises(StepflowClientError) as caught:
            call(twin, httpx.MockTransport(broken), CALLS["health_check"], url, **credentials)
        assert TOKEN not in all_text_of(caught.value)
        assert PASSWORD not in all_text_of(caught.value)


def test_the_repr_of_a_client_shows_only_its_server() -> None:
    for client in (
        SyncStepflowClient(f"http://user:{PASSWORD}@server", auth=TOKEN, headers={"X-Key": SECRET}),
        StepflowClient(f"http://user:{PASSWORD}@server", headers={"X-Key": SECRET}),
    ):
        assert repr(client) == f"{type(client).__name__}('http://server')"
        assert client.url == "http://server"
        for shown in (repr(client._connection), str(vars(client._connection)["url"]), repr(client.api)):
            assert PASSWORD not in shown
            assert TOKEN not in shown


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": f"{TOKEN}\n"},
        {"auth": f"{TOKEN}ä"},
        {"headers": {"X-Key": f"{TOKEN}\r\n"}},
        {"proxy": f"ftp://user:{PASSWORD}@proxy"},
        {"proxy": f"socks5://user:{PASSWORD}@proxy"},
        {"proxy": f"http://user:{PASSWORD}@proxy:port"},
        {"base_url": f"http://user:{PASSWORD}@server:port"},
        {"base_url": f"http://user:x/{PASSWORD}@server"},
    ],
)
def test_messages_about_invalid_settings_contain_no_secret(settings: dict[str, Any]) -> None:
    for client in (SyncStepflowClient, StepflowClient):
        with pytest.raises(InvalidArgumentError) as caught:
            client(**settings)
        assert TOKEN not in str(caught.value)
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("twin", TWINS)
def test_messages_about_an_unsendable_token_do_not_contain_it(twin: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        call_with_handler(twin, Server(), CALLS["health_check"], auth=lambda: f"{TOKEN}\n{TOKEN}")
    assert TOKEN not in all_text_of(caught.value)


def test_reprs_of_internal_objects_contain_no_secrets() -> None:
    request = HttpRequest("GET", "/runs", headers={"authorization": TOKEN}, content=SECRET.encode())
    response = HttpResponse(200, {"set-cookie": TOKEN}, SECRET.encode())
    config = ServerConfig(document={"key": SECRET}, fallback={"key": SECRET})
    plan = LaunchPlan.__new__(LaunchPlan)
    for field in fields(LaunchPlan):
        object.__setattr__(plan, field.name, {"config": config, "env": {"KEY": SECRET}}.get(field.name))
    url = parse_url(f"http://user:{PASSWORD}@server")
    for value in (request, response, config, plan, url, TokenAuth(TOKEN)):
        assert type(value).__name__ in repr(value)
        for secret in (TOKEN, SECRET, PASSWORD):
            assert secret not in repr(value)


# Secret variables

ECHOES = [
    httpx.Response(400, json={"error": {"code": 400, "message": f"bad key {SECRET}", "status": "X", "at": [SECRET]}}),
    httpx.Response(422, text=f'invalid value: string "{SECRET}", expected a number'),
    httpx.Response(400, text=json.dumps({"message": f"bad {SECRET}", "code": 1, "stack": [{"error": SECRET}]})),
    httpx.Response(500, html=f"<html>{SECRET}</html>"),
    httpx.Response(404, json={"error": {"message": f"no {SECRET}"}}),
    httpx.Response(200, json={"summary": {"runId": SECRET}, "results": [SECRET]}),
    httpx.Response(200, text=SECRET),
    httpx.Response(200, json={"summary": {SECRET: 1}}),
]


def creating_call(how: str, variables: dict[str, Any]) -> Any:
    async def create(client: StepflowClient) -> Any:
        stored = await client.store_flow(SECRET_FLOW)
        return await client.create_run(stored.flow_id, variables=variables)

    return {
        "create_run async": create,
        "run sync": lambda client: client.run(SECRET_FLOW, variables=variables),
        "unknown flow async": lambda client: client.create_run("f", variables=variables),
    }[how]


@pytest.mark.parametrize("how", ["create_run async", "run sync", "unknown flow async"])
@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
@pytest.mark.parametrize("variables", [{"key": SECRET, "name": "visible"}, {"keys": {"inner": [SECRET]}}])
def test_a_secret_echoed_by_the_server_is_hidden(
    how: str, echo: httpx.Response, variables: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server()
    server.responses["POST /runs"] = echo
    # Two candidates, so a run that may have been created stays ambiguous.
    runs = [SUMMARY, {**SUMMARY, "runId": RUN_ID[:-1] + "2"}]
    server.responses["GET /runs"] = httpx.Response(200, json={"runs": runs})
    with pytest.raises(StepflowClientError) as caught:
        call_with_handler(how.rpartition(" ")[2], server, creating_call(how, variables))
    assert any(SECRET.encode() in request.content for request in server.requests)
    assert SECRET not in all_text_of(caught.value)
    assert SECRET not in all_text_of(pickle.loads(pickle.dumps(caught.value)))
    assert SECRET not in caplog.text


def test_other_variables_stay_readable() -> None:
    server = Server()
    server.responses["POST /runs"] = httpx.Response(400, json={"error": {"message": "visible is wrong"}})
    with pytest.raises(StepflowClientError, match="visible is wrong"):
        call_with_handler("async", server, creating_call("create_run async", {"key": SECRET, "name": "visible"}))


@pytest.mark.parametrize("twin", TWINS)
def test_a_secret_from_the_environment_is_hidden(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_VAR_KEY", SECRET)
    server = Server()
    server.responses["POST /runs"] = ECHOES[0]
    with pytest.raises(StepflowClientError) as caught:
        call_with_handler(twin, server, lambda client: client.run(SECRET_FLOW, variables_from_env=True))
    assert any(SECRET.encode() in request.content for request in server.requests)
    assert SECRET not in all_text_of(caught.value)


@pytest.mark.parametrize("twin", TWINS)
def test_inputs_and_flows_are_not_logged(twin: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    call_with_handler(
        twin, Server(), lambda client: client.submit({**SECRET_FLOW, "name": SECRET}, {"password": PASSWORD})
    )
    call_with_handler(twin, Server(), lambda client: client.get_run(RUN_ID))
    assert SECRET not in caplog.text
    assert PASSWORD not in caplog.text


# Values


def hide_and_format(
    error: StepflowClientError, values: dict[str, Any], declared: dict[str, FlowVariable] | None
) -> str:
    find_variable_secrets(values, declared).hide_in_error(error)
    return str(error)


def test_secrets_are_removed_from_every_part_of_an_error() -> None:
    declared = {"key": FlowVariable(is_secret=True), "name": FlowVariable()}
    values = {"key": "s3cr3t-value", "name": "visible"}
    error = NotFoundError(
        "no s3cr3t-value for visible",
        details={"s3cr3t-value": ["x s3cr3t-value y", {"a": "s3cr3t-value"}, 5]},
        hint="is s3cr3t-value right?",
    )
    assert hide_and_format(error, values, declared) == "no *** for visible (is *** right?)"
    assert error.args == ("no *** for visible",)
    assert error.details == {"***": ["x *** y", {"a": "***"}, 5]}


@pytest.mark.parametrize(
    ("secret", "echo"),
    [
        ('a"b\\c', 'a\\"b\\\\c'),
        ("täg", "t\\u00e4g"),
        ("two  words", "two words"),
        ("line\nbreak", "line break"),
        ("line\nbreak", "line\\nbreak"),
        ("a b/c", "a%20b%2Fc"),
    ],
)
def test_quoted_and_escaped_secrets_are_hidden(secret: str, echo: str) -> None:
    assert hide_and_format(NotFoundError(f"got {echo}."), {"key": secret}, None) == "got ***."


def test_nested_and_overlapping_secrets_are_hidden() -> None:
    values = {"key": {"a": ["inner-secret"]}, "short": "abcd", "long": "abcdefgh"}
    assert hide_and_format(NotFoundError("inner-secret abcdefgh abcd"), values, None) == "*** *** ***"


def test_short_values_of_undeclared_variables_stay_readable() -> None:
    values = {"a": "yes", "b": 5, "c": None, "d": True}
    assert hide_and_format(NotFoundError("yes 5 None True"), values, None) == "yes 5 None True"


@pytest.mark.parametrize(
    ("value", "message", "expected"),
    [
        (4711, "pin 4711 is wrong, not 47110 or 14711", "pin *** is wrong, not 47110 or 14711"),
        (4711, "invalid type: floating point `4711.0`", "invalid type: floating point `***.0`"),
        (7, "got 7; line 17, column 7", "got ***; line 17, column ***"),
        (0.25, "got 0.25", "got ***"),
        (-3, "got -3", "got ***"),
        (True, "boolean `true`, structure", "boolean `***`, structure"),
        ("no", "got no; not nowhere", "got ***; not nowhere"),
        (["left", 12], "left or 12", "*** or ***"),
        ({"user": "ann", "n": {"m": [88]}}, "user ann: 88", "user ***: ***"),
        (None, "None is null", "None is null"),
        ("", "nothing", "nothing"),
    ],
)
def test_values_of_every_type_are_hidden(value: Any, message: str, expected: str) -> None:
    assert hide_and_format(NotFoundError(message), {"key": value}, {"key": FlowVariable(is_secret=True)}) == expected


def test_numbers_and_booleans_in_details_are_hidden() -> None:
    declared = {"pin": FlowVariable(is_secret=True), "flag": FlowVariable(is_secret=True)}
    error = NotFoundError("x", details={"a": [4711, 4711.0, 1, True, False, "4711"]})
    hide_and_format(error, {"pin": 4711, "flag": True}, declared)
    assert error.details == {"a": ["***", "***", 1, "***", False, "***"]}


def test_the_secret_parts_of_a_value_are_hidden() -> None:
    schema = {"properties": {"user": {"type": "string"}, "password": {"type": "string", "is_secret": True}}}
    declared = {
        "login": FlowVariable(value_schema=schema),
        "keys": FlowVariable(value_schema={"items": {"is_secret": True}}),
    }
    values = {"login": {"user": "annabel", "password": "opensesame"}, "keys": ["first-key"]}
    assert hide_and_format(NotFoundError("annabel opensesame first-key"), values, declared) == "annabel *** ***"


def test_the_default_of_a_secret_is_hidden() -> None:
    declared = {"key": FlowVariable(is_secret=True, value_schema={"default": "the-default"})}
    assert hide_and_format(NotFoundError("no the-default"), {}, declared) == "no ***"


def test_a_secret_is_hidden_in_a_truncated_message() -> None:
    secret = "abcdefghijklmnopqrstuvwxyz"
    for cut in range(len(secret) + 1):
        shown = hide_and_format(
            NotFoundError(f"it said {secret[:cut]}…"), {"k": secret}, {"k": FlowVariable(is_secret=True)}
        )
        assert "abcd" not in shown


# Responses


PIN_FLOW = {
    "schemas": {"properties": {"variables": {"properties": {"pin": {"type": "integer", "is_secret": True}}}}},
    "steps": [],
    "output": {"b": {"$input": "$"}, "a": 1},
}
PIN = 48151623
FAILED_ITEM = {
    "itemIndex": 0,
    "status": 3,
    "errorMessage": f"pin {PIN}",
    "errorCode": 3,
    "errorData": {"code": 7, "stack": [{"error": f"pin {PIN}", "value": float(PIN)}]},
}


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("wait", [True, False])
def test_secrets_are_hidden_in_everything_read_from_a_run(
    twin: str, wait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    failed = {**SUMMARY, "status": 3, "items": {"total": 1, "failed": 1}}
    step = {**STEP, "status": 3, "errorMessage": f"step says {PIN}", "output": None}
    later = {"sequenceNumber": 1, "event": {"LaterThing": {"runId": RUN_ID, "quoted": [PIN, f"<{PIN}>"]}}}
    frames = "".join(f"data: {json.dumps(each)}\n\n" for each in (later, {**EVENT, "sequenceNumber": 2}))
    server.responses |= {
        "POST /runs": httpx.Response(200, json={"summary": failed, "results": [FAILED_ITEM] if wait else []}),
        "GET /runs": httpx.Response(200, json={"runs": [failed]}),
        f"GET /runs/{RUN_ID}/items": httpx.Response(200, json={"results": [FAILED_ITEM]}),
        f"GET /runs/{RUN_ID}/steps": httpx.Response(200, json={"steps": [step]}),
        f"GET /runs/{RUN_ID}/steps/a": httpx.Response(200, json={"step": step}),
        f"GET /runs/{RUN_ID}/flow": httpx.Response(400, json={"error": {"message": f"no {PIN}", "at": PIN}}),
        f"GET /runs/{RUN_ID}/events": httpx.Response(200, text=frames, headers={"content-type": "text/event-stream"}),
    }
    texts: list[str] = []

    def record(result: Any) -> None:
        dumped = result.to_dict() if hasattr(result, "to_dict") else [each.to_dict() for each in result]
        texts.append(f"{result!r} {dumped}")

    async def ask_async(client: StepflowClient) -> None:
        record(await client.run(PIN_FLOW, variables={"pin": PIN}))
        record(await client.get_result(RUN_ID))
        record(await client.get_run_items(RUN_ID))
        record(await client.get_run_steps(RUN_ID))
        record(await client.get_run_step(RUN_ID, "a"))
        record([each async for each in client.run_events(RUN_ID)])
        with pytest.raises(StepflowClientError) as caught:
            await client.get_run_flow(RUN_ID)
        texts.append(all_text_of(caught.value))

    def ask_sync(client: SyncStepflowClient) -> None:
        record(client.run(PIN_FLOW, variables={"pin": PIN}))
        record(client.get_result(RUN_ID))
        record(client.get_run_items(RUN_ID))
        record(client.get_run_steps(RUN_ID))
        record(client.get_run_step(RUN_ID, "a"))
        record(list(client.run_events(RUN_ID)))
        with pytest.raises(StepflowClientError) as caught:
            client.get_run_flow(RUN_ID)
        texts.append(all_text_of(caught.value))

    caplog.set_level(logging.DEBUG)
    call_with_handler(twin, server, ask_async if twin == "async" else ask_sync)
    assert len(texts) == 7
    for each in [*texts, caplog.text]:
        assert str(PIN) not in each
    assert all("***" in each for each in texts)


@pytest.mark.parametrize("private_copy", [False, True])
def test_secrets_are_not_hidden_in_outputs(private_copy: bool) -> None:
    server = Server()
    server.responses["POST /runs"] = httpx.Response(
        200, json={"summary": SUMMARY, "results": [{**ITEM, "output": {"z": 1, "a": PIN, "b": {"y": 1, "x": 2}}}]}
    )
    result = call_with_handler(
        "sync", server, lambda client: client.run(PIN_FLOW, variables={"pin": PIN}, private_copy=private_copy)
    )
    assert json.dumps(result.output) == f'{{"b": {{"x": 2, "y": 1}}, "a": {PIN}, "z": 1}}'


class BlobServer(Server):
    """A server that also stores blob names, because calls with an idempotency key read them."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if (name := request.headers.get("x-blob-filename")) is not None:
            blob = f"GET /blobs/{hashlib.sha256(request.content).hexdigest()}"
            self.responses[blob] = httpx.Response(
                200, headers={"content-disposition": f'attachment; filename="{name}"'}
            )
        return super().__call__(request)


RUN_METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "run with a key": lambda client, run: client.run(**run, idempotency_key="k"),
    "run with a scope": lambda client, run: client.run(**run, idempotency_key="k", idempotency_scope="s"),
    "rerun": lambda client, run: client.rerun(RUN_ID, **run),
    "rerun with a key": lambda client, run: client.rerun(RUN_ID, **run, idempotency_key="k"),
    "map": lambda client, run: client.map(run["flow"], [1], variables=run["variables"]),
    "map with keys": lambda client, run: client.map(
        run["flow"], [1], variables=run["variables"], idempotency_key=lambda value: f"k{value}"
    ),
}


@pytest.mark.parametrize("is_default", [False, True], ids=["passed", "default"])
@pytest.mark.parametrize("method", RUN_METHODS)
@pytest.mark.parametrize("twin", TWINS)
def test_secrets_are_hidden_in_results_of_every_run_method(twin: str, method: str, is_default: bool) -> None:
    pin = {"type": "integer", "is_secret": True} | ({"default": PIN} if is_default else {})
    flow = {**PIN_FLOW, "schemas": {"properties": {"variables": {"properties": {"pin": pin}}}}}
    server = BlobServer()
    failed = {**SUMMARY, "status": 3, "items": {"total": 1, "failed": 1}}
    server.responses["POST /runs"] = httpx.Response(200, json={"summary": failed, "results": [FAILED_ITEM]})
    run = {"flow": flow, "input": 1, "variables": {} if is_default else {"pin": PIN}}
    returned = call_with_handler(twin, server, lambda client: RUN_METHODS[method](client, run))
    results = returned if isinstance(returned, list) else getattr(returned, "results", [returned])
    for each in results:
        shown = f"{each!r} {each.to_dict()}"
        assert "pin ***" in shown
        assert str(PIN) not in shown
