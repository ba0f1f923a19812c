"""Inputs of `map` that the client or the server rejects fail alone, also when a journal resumes the batch."""

from __future__ import annotations

import functools
import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st
from stepflow_client import (
    ErrorCode,
    InvalidRequestError,
    Outcome,
    ServerFaultError,
    StepflowRuntime,
    SyncStepflowClient,
)
from stepflow_client.evaluation import EvaluationCase

from tests.differences import has
from tests.server.conftest import open_client
from tests.server.flows import FAIL, one_step
from tests.server.test_evaluation import evaluate_with
from tests.server.test_round_trip import many, same, values

pytestmark = [pytest.mark.anyio]

PASS: dict[str, Any] = {"steps": [], "output": {"$input": "$"}}
MAX_DEPTH = 125
"""Levels of the deepest input that servers accept."""


def nested(depth: int, kind: type = list) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


async def collect(client: Any, inputs: Any, flow: Any = PASS, **options: Any) -> list[Outcome[Any]]:
    async with aclosing(client.map(flow, inputs, **options)) as outcomes:
        return sorted([outcome async for outcome in outcomes], key=lambda outcome: outcome.index)


def journal(folder: Path) -> dict[str, Any]:
    return {"journal": folder / "batch.journal"}


class Gateway:
    """A gateway in front of a server that rejects runs whose inputs contain some text, with status 400.

    Args:
        server: A client of the server.
    """

    def __init__(self, server: httpx.Client) -> None:
        self.blocked = b"poison"
        """The text to reject."""
        self.is_down = False
        """Whether it responds with 500 to all other creations of runs, except checks (whose flow ID is zeros)."""
        self.created: list[Any] = []
        """The inputs of all runs that the server has created."""
        self.rejections = 0
        self._server = server

    def __call__(self, request: httpx.Request) -> httpx.Response:
        creates_run = request.method == "POST" and request.url.path.endswith("/runs")
        if creates_run and self.blocked in request.content:
            self.rejections += 1
            return httpx.Response(400, text="blocked")
        if creates_run and self.is_down and b'"0000' not in request.content:
            return httpx.Response(500, text="down")
        response = self._server.request(
            request.method, request.url.raw_path.decode(), content=request.content, headers=request.headers
        )
        if creates_run and response.is_success:
            self.created += json.loads(request.content)["input"]
        return httpx.Response(response.status_code, content=response.content, headers=response.headers)


@pytest.fixture(params=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gateway(worker_runtime: StepflowRuntime) -> Iterator[Gateway]:
    with httpx.Client(base_url=worker_runtime.url, timeout=30) as server:
        yield Gateway(server)


@pytest.fixture
async def guarded(gateway: Gateway, kind: str, worker_runtime: StepflowRuntime) -> AsyncIterator[Any]:
    """A client behind the gateway."""
    async with open_client(kind, worker_runtime.url, transport=httpx.MockTransport(gateway)) as client:
        yield client


@pytest.mark.parametrize(
    ("count", "depths"),
    [
        (60, [100, 124, 125, 126, 127, 199, 200, 201, 1000]),
        pytest.param(250, [*range(100, 221), *range(239, 1001, 19)], marks=pytest.mark.exhaustive, id="162 depths"),
    ],
)
async def test_inputs_of_every_depth(client: Any, tmp_path: Path, count: int, depths: Any) -> None:
    inputs: list[Any] = [nested(depth, kind=dict if depth % 2 else list) for depth in depths]
    inputs += range(count - len(inputs))
    random.Random(7).shuffle(inputs)
    accepted = [index for index, each in enumerate(inputs) if depth_of(each) <= MAX_DEPTH]
    options = journal(tmp_path)
    first = await collect(client, inputs, **options)
    assert [each.index for each in first] == [*range(count)]
    assert [each.index for each in first if each.is_success] == accepted
    for each, passed in zip(first, inputs, strict=True):
        if each.is_success:
            assert each.output == passed
        else:
            assert (each.error.code, each.run_id) == (ErrorCode.INVALID_INPUT, None)
            assert "nested too deeply" in each.error.message
    assert await collect(client, inputs, **options) == first


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, (list, dict)):
        value, depth = value[0] if isinstance(value, list) else value["a"], depth + 1
    return depth


def test_the_maximum_depths_match_the_server(worker_runtime: StepflowRuntime) -> None:
    with httpx.Client(base_url=f"{worker_runtime.url}/api/v1") as server:

        def status(path: str, body: str) -> int:
            return server.post(path, content=body, headers={"Content-Type": "application/json"}).status_code

        flow_id = server.post("/flows", json={"flow": PASS}).json()["flowId"]
        run = f'{{"flowId": "{flow_id}", "input": [%s], "variables": {{"v": %s}}}}'
        for body, deepest in (
            (lambda value: ("/runs", run % (value, "1")), 125),
            (lambda value: ("/runs", run % ("1", value)), 125),
            (lambda value: ("/flows", f'{{"flow": {{"output": {value}}}}}'), 125),
            (lambda value: ("/blobs", f'{{"data": {value}}}'), 126),
        ):
            assert status(*body(json.dumps(nested(deepest)))) in (200, 202)
            assert status(*body(json.dumps(nested(deepest + 1)))) == 400


class Unreadable(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("unreadable")

    def __iter__(self) -> Any:
        raise RuntimeError("unreadable")

    def __len__(self) -> int:
        return 1


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
HOSTILE = [
    10**5000,
    -(10**5000),
    {"id": 10**5000},
    "\ud800",
    {"id": "\udfff"},
    {"\ud800": 1},
    math.nan,
    [math.inf],
    {"a": -math.inf},
    {1: 2},
    {None: 1},
    {"a": {(1, 2): 1}},
    nested(126),
    nested(200, dict),
    nested(100_000),
    ENDLESS,
    {"a": {1, 2}},
    b"bytes",
    object(),
    Unreadable(),
    ValueError("unread"),
]


async def test_inputs_that_are_not_json_fail_alone(client: Any, tmp_path: Path) -> None:
    inputs = [each for hostile in HOSTILE for each in (hostile, {"id": "good"})]
    options = journal(tmp_path)
    first = await collect(client, inputs, chunk_size=7, **options)
    assert [each.is_success for each in first] == [False, True] * len(HOSTILE)
    assert {each.error.code for each in first if each.error is not None} == {ErrorCode.INVALID_INPUT}
    # The outcomes can still be stored as JSON and in the journal.
    json.dumps([each.to_dict() for each in first])
    assert await collect(client, inputs, chunk_size=7, **options) == first


wrappers = st.sampled_from([lambda value: [1, value], lambda value: {"a": value}, lambda value: (value, 2)])
faulty = st.builds(
    lambda fault, around: functools.reduce(lambda value, wrap: wrap(value), around, fault),
    st.sampled_from(HOSTILE[:-1]),
    st.lists(wrappers, max_size=20),
)


@many
@given(inputs=st.lists(values.map(lambda value: (value, True)) | faulty.map(lambda value: (value, False)), max_size=20))
def test_random_inputs_fail_alone(worker_runtime: StepflowRuntime, inputs: list[tuple[Any, bool]]) -> None:
    with SyncStepflowClient(worker_runtime.url) as client:
        outcomes = list(client.map(PASS, [value for value, _ in inputs], ordered=True))
    assert [each.is_success for each in outcomes] == [is_good for _, is_good in inputs]
    assert all(same(value, each.output) for (value, is_good), each in zip(inputs, outcomes, strict=True) if is_good)


async def test_an_input_above_the_size_limit_fails_alone(client: Any, release: str) -> None:
    large = "x" * 3_000_000
    outcomes = await collect(client, [1, large, 2])
    is_limited = not has(release, "events")
    assert [each.is_success for each in outcomes] == [True, not is_limited, True]
    if is_limited:
        assert outcomes[1].error.message.startswith("the server rejected the input: ")


async def test_inputs_that_the_server_rejects_fail_alone(guarded: Any, gateway: Gateway, tmp_path: Path) -> None:
    poison = {3, 40, 41, 99}
    inputs = [{"n": n, "text": "poison"} if n in poison else {"n": n} for n in range(100)]
    options = journal(tmp_path)
    first = await collect(guarded, inputs, chunk_size=25, **options)
    assert [each.index for each in first if not each.is_success] == sorted(poison)
    for each in first:
        if each.is_success:
            assert each.output == inputs[each.index]
        else:
            assert (each.error.code, each.run_id, each.attempts) == (ErrorCode.INVALID_INPUT, None, 0)
            assert each.error.message == "the server rejected the input: blocked"
    assert Counter(each["n"] for each in gateway.created) == Counter(n for n in range(100) if n not in poison)
    # One rejected run for each of three chunks, and for each input one rejected check per bisection size.
    assert gateway.rejections <= 3 + 4 * 6
    if options:
        created = len(gateway.created)
        assert await collect(guarded, inputs, chunk_size=25, **options) == first
        assert len(gateway.created) == created


async def test_a_chunk_can_be_rejected_as_a_whole(guarded: Any, gateway: Gateway, tmp_path: Path) -> None:
    inputs = ["poison"] * 5 + [1]
    options = journal(tmp_path)
    for _ in range(2 if options else 1):
        outcomes = await collect(guarded, inputs, chunk_size=5, **options)
        assert [each.is_success for each in outcomes] == [False] * 5 + [True]
    assert gateway.created == [1]


async def test_a_batch_continues_after_a_rejection(guarded: Any, gateway: Gateway, tmp_path: Path) -> None:
    inputs = [1, "poison", 2, 3]
    gateway.is_down = True
    with pytest.raises(ServerFaultError):
        await collect(guarded, inputs, **journal(tmp_path))
    gateway.is_down, rejections = False, gateway.rejections
    outcomes = await collect(guarded, inputs, **journal(tmp_path))
    assert [each.is_success for each in outcomes] == [True, False, True, True]
    assert gateway.created == [1, 2, 3]
    assert gateway.rejections == rejections, "the journal has the rejection"


@pytest.mark.parametrize("blocked", [b'"flowId"', b'"variables"'], ids=["every run", "its variables"])
async def test_a_rejection_that_concerns_no_input_ends_the_batch(
    guarded: Any, gateway: Gateway, blocked: bytes
) -> None:
    gateway.blocked = blocked
    with pytest.raises(InvalidRequestError, match="blocked"):
        await collect(guarded, range(1000), chunk_size=100, variables={"v": 1})
    # Two rejections for each of the four runs in flight.
    assert gateway.rejections <= 8
    assert gateway.created == []


async def test_rejected_inputs_are_not_retried(guarded: Any, gateway: Gateway, tmp_path: Path) -> None:
    flow = one_step(FAIL)
    inputs: list[Any] = [{"value": 1}, {"value": "poison"}, {"message": "fails"}, {"value": 2}]
    outcomes = await collect(guarded, inputs, flow, max_attempts=2, retry_on=lambda outcome: outcome.error is not None)
    assert [(each.is_success, each.attempts) for each in outcomes] == [(True, 1), (False, 0), (False, 2), (True, 1)]
    assert [each.get("message") for each in gateway.created] == [None, "fails", None, "fails"]


async def test_a_rejected_input_with_a_key(guarded: Any, gateway: Gateway) -> None:
    inputs = [{"id": "a"}, {"id": "poison"}, {"id": "b"}]
    outcomes = await collect(guarded, inputs, idempotency_key=lambda each: f"{id(gateway)}-{each['id']}")
    assert [each.is_success for each in outcomes] == [True, False, True]


async def test_a_rejected_case_of_an_evaluation(guarded: Any) -> None:
    cases = [EvaluationCase("a", 1), EvaluationCase("b", "poison"), EvaluationCase("c", nested(150))]
    report = await evaluate_with(guarded, PASS, cases)
    assert {item.case: item.is_success for item in report} == {"a": True, "b": False, "c": False}
