"""`run` and `map` return the same hints for failed inputs."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client.testing import fake_server

FLOW: dict[str, Any] = {
    "steps": [{"id": "greet", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "name"}}}],
    "output": {"$step": "greet"},
}
INPUTS: list[Any] = [{"nam": "Ada"}, {"name": "Ada"}, {}, {"name": 5}]
LACKS = "the flow reads 'name' from its input, which has nam; write name instead of nam"


def hint_of(failed: Any) -> str | None:
    return None if failed.error is None else failed.error.hint


@pytest.mark.anyio
async def test_run_and_map_have_the_same_hints() -> None:
    async with fake_server().client() as client:
        one_by_one = [hint_of(await client.run(FLOW, each)) for each in INPUTS]
        batch = [hint_of(each) async for each in client.map(FLOW, INPUTS, ordered=True)]
    assert batch == one_by_one
    assert batch[0] == LACKS
    assert batch[1] is None
    assert all(batch[index] for index in (2, 3))


def test_hint_for_a_misspelled_builtin_component() -> None:
    wrong = {**FLOW, "steps": [{**FLOW["steps"][0], "component": "/builtin/create_mesages"}]}
    hint = "unknown component /builtin/create_mesages; did you mean /builtin/create_messages?"
    with fake_server().sync_client() as client:
        assert hint_of(client.run(wrong, {"name": "Ada"})) == hint
        assert [hint_of(each) for each in client.map(wrong, [{"name": "Ada"}])] == [hint]


def test_hints_take_overrides_into_account() -> None:
    overrides = {"greet": {"input": {"user_prompt": {"$input": "title"}}}}
    inputs: list[Any] = [{"titel": "a"}, {"title": 5}]
    with fake_server().sync_client() as client:
        one_by_one = [hint_of(client.run(FLOW, each, overrides=overrides)) for each in inputs]
        batch = [hint_of(each) for each in client.map(FLOW, inputs, ordered=True, overrides=overrides)]
    assert batch == one_by_one
    assert batch[0] == "the flow reads 'title' from its input, which has titel; write title instead of titel"
    assert "$.user_prompt" in str(batch[1])
