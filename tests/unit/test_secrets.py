"""Tokens, passwords and secret variables show up in no log, no repr and no error."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from dataclasses import fields
from typing import Any

import httpx
import pytest
from stepflow_client import StepflowClient, SyncStepflowClient
from stepflow_client._http import HttpRequest, HttpResponse
from stepflow_client._server_config import ServerConfig
from stepflow_client._settings import TokenAuth, parse_url
from stepflow_client._supervisor import LaunchPlan
from stepflow_client.errors import InvalidArgumentError, StepflowClientError

from tests.unit.both_twins import CALLS, RUN_ID, TWINS, URL, Server, ask, call

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


def everything(error: BaseException) -> str:
    """All of an error that people print or send on, its causes too."""
    shown = ["".join(traceback.format_exception(error))]
    while error is not None:
        shown += [str(error), repr(error), repr(vars(error)), repr(error.args)]
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)  # type: ignore[assignment]
    return "\n".join(shown)


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
        assert TOKEN not in everything(caught.value)
        assert PASSWORD not in everything(caught.value)


def test_a_client_shows_its_server_only() -> None:
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
def test_a_wrong_setting_is_not_repeated(settings: dict[str, Any]) -> None:
    for client in (SyncStepflowClient, StepflowClient):
        with pytest.raises(InvalidArgumentError) as caught:
            client(**settings)
        assert TOKEN not in str(caught.value)
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("twin", TWINS)
def test_a_token_that_cannot_be_sent_is_not_repeated(twin: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ask(twin, Server(), CALLS["health_check"], auth=lambda: f"{TOKEN}\n{TOKEN}")
    assert TOKEN not in everything(caught.value)


def test_what_is_kept_of_a_client_and_a_server_shows_no_secrets() -> None:
    request = HttpRequest("GET", "/runs", headers={"authorization": TOKEN}, content=SECRET.encode())
    response = HttpResponse(200, {"set-cookie": TOKEN}, SECRET.encode())
    config = ServerConfig(document={"key": SECRET}, fallback={"key": SECRET})
    plan = LaunchPlan.__new__(LaunchPlan)
    for field in fields(LaunchPlan):
        object.__setattr__(plan, field.name, {"config": config, "env": {"KEY": SECRET}}.get(field.name))
    url = parse_url(f"http://user:{PASSWORD}@server")
    for kept in (request, response, config, plan, url, TokenAuth(TOKEN)):
        assert type(kept).__name__ in repr(kept)
        for secret in (TOKEN, SECRET, PASSWORD):
            assert secret not in repr(kept)


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


def creating(how: str, variables: dict[str, Any]) -> Any:
    async def create(client: StepflowClient) -> Any:
        stored = await client.store_flow(SECRET_FLOW)
        return await client.create_run(stored.flow_id, variables=variables)

    def create_sync(client: SyncStepflowClient) -> Any:
        return client.create_run(client.store_flow(SECRET_FLOW).flow_id, variables=variables)

    return {
        "create_run async": create,
        "create_run sync": create_sync,
        "run async": lambda client: client.run(SECRET_FLOW, variables=variables),
        "run sync": lambda client: client.run(SECRET_FLOW, variables=variables),
        "unknown flow async": lambda client: client.create_run("f", variables=variables),
        "unknown flow sync": lambda client: client.create_run("f", variables=variables),
    }[how]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("how", ["create_run", "run", "unknown flow"])
@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
@pytest.mark.parametrize("variables", [{"key": SECRET, "name": "visible"}, {"keys": {"inner": [SECRET]}}])
def test_a_server_that_repeats_a_secret(
    twin: str, how: str, echo: httpx.Response, variables: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server()
    server.answers["POST /runs"] = echo
    with pytest.raises(StepflowClientError) as caught:
        ask(twin, server, creating(f"{how} {twin}", variables))
    assert any(SECRET.encode() in request.content for request in server.requests)
    assert SECRET not in everything(caught.value)
    assert SECRET not in everything(pickle.loads(pickle.dumps(caught.value)))
    assert SECRET not in caplog.text


@pytest.mark.parametrize("twin", TWINS)
def test_what_is_no_secret_stays_readable(twin: str) -> None:
    server = Server()
    server.answers["POST /runs"] = httpx.Response(400, json={"error": {"message": "visible is wrong"}})
    with pytest.raises(StepflowClientError, match="visible is wrong"):
        ask(twin, server, creating(f"create_run {twin}", {"key": SECRET, "name": "visible"}))


@pytest.mark.parametrize("twin", TWINS)
def test_a_secret_of_the_environment(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_VAR_KEY", SECRET)
    server = Server()
    server.answers["POST /runs"] = ECHOES[0]
    with pytest.raises(StepflowClientError) as caught:
        ask(twin, server, lambda client: client.run(SECRET_FLOW, variables_from_env=True))
    assert any(SECRET.encode() in request.content for request in server.requests)
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize("twin", TWINS)
def test_inputs_and_flows_are_not_logged(twin: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask(twin, Server(), lambda client: client.submit({**SECRET_FLOW, "name": SECRET}, {"password": PASSWORD}))
    ask(twin, Server(), lambda client: client.get_run(RUN_ID))
    assert SECRET not in caplog.text
    assert PASSWORD not in caplog.text
