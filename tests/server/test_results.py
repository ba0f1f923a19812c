"""Results are stable to compare and safe to print: ordered keys, and no secrets in errors."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from stepflow_client import StepflowClient

from tests.differences import has
from tests.server.flows import ECHO, FAIL, one_step

pytestmark = pytest.mark.anyio

INPUT = {"zebra": 1, "apple": {"z": [{"d": 1, "b": 2}], "c": 3, "a": None}, "mango": "m", "kiwi": 4, "fig": 5}
SORTED = {"apple": {"a": None, "c": 3, "z": [{"b": 2, "d": 1}]}, "fig": 5, "kiwi": 4, "mango": "m", "zebra": 1}
WRITTEN = {
    "steps": [{"id": "only", "component": ECHO, "input": {"$input": "$"}}],
    "output": {
        "second": {"$step": "only", "path": "$.apple"},
        "first": {"y": {"$input": "$.zebra"}, "x": [{"n": {"$input": "$.kiwi"}, "m": {"$literal": {"q": 1, "p": 2}}}]},
        "zero": {"$input": "$.mango"},
    },
}


def text(value: Any) -> str:
    return json.dumps(value)


async def test_outputs_come_in_the_order_of_the_flow(client: Any, release: str) -> None:
    apple = (SORTED if has(release, "sorted_keys") else INPUT)["apple"]
    expected = text(
        {"second": apple, "first": {"y": 1, "x": [{"n": 4, "m": {"q": 1, "p": 2}}]}, "zero": "m"},
    )
    for _ in range(5):
        result = await client.run(WRITTEN, INPUT)
        assert text(result.output) == expected
    run_id = await client.submit(WRITTEN, [INPUT, INPUT])
    for each in await client.get_results(run_id):
        assert text(each.output) == expected
    for item in (await client.get_run_items(run_id)).items:
        assert text(item.result.output) == expected


async def test_outputs_of_an_unknown_shape_come_in_a_fixed_order(client: Any, release: str) -> None:
    expected = text(SORTED if has(release, "sorted_keys") else INPUT)
    flow = one_step(ECHO)
    for _ in range(5):
        result = await client.run(flow, INPUT)
        assert text(result.output) == expected
        again = await client.get_result(result.run_id)
        assert text(again.output) == expected
        steps = (await client.get_run_steps(result.run_id)).steps
        assert [text(step.output) for step in steps] in ([expected], ["null"])


SECRETS = {"token": "t0ken-of-letters", "pin": 48151623, "login": {"user": "annabel-lee", "codes": [424242]}}
DECLARED = {
    "type": "object",
    "properties": {
        "token": {"type": "string", "is_secret": True},
        "pin": {"type": "integer", "is_secret": True},
        "login": {"type": "object", "is_secret": True},
        "plain": {"type": "string"},
        "spare": {"type": "string", "is_secret": True, "default": "default-of-secret"},
    },
}
QUOTED = {"message": {name: {"$variable": name} for name in ("token", "pin", "login", "plain", "spare")}}
"""The component raises an error that quotes all of them."""


async def test_secrets_in_a_component_error_are_hidden(client: Any) -> None:
    flow = one_step(FAIL, QUOTED, schemas={"type": "object", "properties": {"variables": DECLARED}})
    variables = {**SECRETS, "plain": "readable-text"}
    result = await client.run(flow, None, variables=variables)
    assert result.is_failed
    texts = [repr(result), str(result.error.details)]
    texts.append(repr((await client.get_run_items(result.run_id)).items[0]))
    texts.append(repr(await client.get_results(result.run_id)))
    texts.append(repr(await client.get_run_steps(result.run_id)))
    texts += [repr(event) for event in [each async for each in _events(client, result.run_id)]]
    for each in texts:
        for secret in ("t0ken-of-letters", "48151623", "annabel-lee", "424242", "default-of-secret"):
            assert secret not in each
    assert result.error.message.count("***") == 5
    assert "readable-text" in result.error.message


@pytest.mark.parametrize("scope", [None, "quoting"])
async def test_a_run_found_by_its_key_is_read_like_a_new_run(
    worker_runtime: Any, scope: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPFLOW_VAR_PLAIN", "readable-text")
    key: dict[str, Any] = {"idempotency_key": f"k-{time.time_ns()}", "idempotency_scope": scope}
    failing = one_step(FAIL, QUOTED, schemas={"type": "object", "properties": {"variables": DECLARED}})
    # With a scope, the run belongs to another version of the flow.
    later = {**failing, "description": "changed"} if scope else failing
    options: dict[str, Any] = {"variables": SECRETS, "variables_from_env": True, **key}
    async with StepflowClient(worker_runtime.url) as one, StepflowClient(worker_runtime.url) as other:
        first = await one.run(failing, None, **options)
        second = await other.run(later, None, **options)
        assert second.run_id == first.run_id
        assert second.error.message == first.error.message
        assert second.error.message.count("***") == 5
        assert "readable-text" in second.error.message
        ordered = {**key, "idempotency_key": f"{key['idempotency_key']}-ordered"}
        outputs = [text((await each.run(WRITTEN, INPUT, **ordered)).output) for each in (one, other)]
        assert outputs[0] == outputs[1]


async def _events(client: Any, run_id: str) -> Any:
    events = client.run_events(run_id, include_results=True)
    async for event in events:
        yield event
