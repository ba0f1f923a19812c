"""Wrong arguments: whatever is given to a public function, what leaves it is an error of this package.

Each parameter of each public function and class, and of each method of clients, handles and mocks, is given values of
many kinds, while the others are right.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
import stepflow_client
from pydantic import BaseModel
from stepflow_client import (
    AuthoringError,
    ExecutionStatus,
    InvalidArgumentError,
    StepflowClient,
    StepflowClientError,
    StepflowRuntime,
    drawing,
    evaluation,
    testing,
    tools,
    web,
)
from stepflow_client._calls import call_options as options_module
from stepflow_client._calls.call_options import ClientOptions
from stepflow_client._data.arguments import argument_error
from stepflow_client.authoring import Flow, flow
from stepflow_client.authoring._methods import FlowMethods
from stepflow_client.authoring._scopes import Scope
from stepflow_client.authoring._values import Read, Value
from stepflow_client.evaluation import EvaluationItem, EvaluationReport
from stepflow_client.flow_models import TypedFlow
from stepflow_client.flows import infer
from stepflow_client.types.model_base import Model

from scripts.public_surface import MADE_HERE, PUBLIC_MODULES

FLOW = {
    "name": "wrong",
    "schemas": {"properties": {"input": {"type": "object"}}},
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}
TESTS = """\
name: tested
steps: [{id: a, component: /builtin/noop, input: {$input: $}}]
output: {$step: a}
test: {cases: [{name: one, input: {n: 1}}]}
"""


class Colour(Enum):
    RED = "red"


@dataclass
class Named:
    name: str = ""


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@cache
def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(2_000):
        value = {"a": value}
    return value


def refuse(*_: Any) -> Any:
    raise InvalidArgumentError("the caller's own function may raise anything")


VALUES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "object": object,
    "class": lambda: StepflowClientError,
    "function": lambda: refuse,
    "true": lambda: True,
    "zero": lambda: 0,
    "negative": lambda: -1,
    "huge": lambda: 10**400,
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "complex": lambda: 1j,
    "empty": str,
    "text": lambda: "no such thing",
    "nul": lambda: "a\0b",
    "surrogate": lambda: "\ud800",
    "bytes": lambda: b"\xff",
    "list": lambda: [1, "a"],
    "tuple": lambda: (1, 2, 3),
    "set": lambda: {1},
    "mapping": lambda: {"a": 1},
    "keys": lambda: {1: 2},
    "flow": lambda: {"steps": [1, {"id": []}], "schemas": 3, "output": {"$step": 7}},
    "endless": endless,
    "deep": deep,
    "generator": lambda: (each for each in ()),
    "enum": lambda: Colour.RED,
    "path": lambda: Path("no such file"),
    "exception": lambda: ValueError("given"),
    "unprintable": Unprintable,
}
FEW = ("object", "negative", "surrogate", "list", "deep", "unprintable")
"""The kinds for the asynchronous twin, whose source the other one is written from."""
RESULTS = {
    "HistoryEntry",
    "FlowTests",
    "OutcomeWriter",
    "Progress",
    "RunSnapshot",
    "StepAccount",
    "Iterated",
    "ToolResult",
    "ScoreChange",
}
"""Classes whose objects this package returns, although their classes can be called."""


def is_record(member: Any) -> bool:
    """Return whether only this package makes objects of a class, or its values are checked by Python itself."""
    if not isinstance(member, type):
        return False
    return member.__name__ in MADE_HERE | {"ComponentList", "Flow"} or issubclass(member, (Enum, Exception, dict))


@cache
def given() -> SimpleNamespace:
    """Return a client of an in-memory server, and right values by the names of parameters; there is a file of tests."""
    server = testing.fake_server()
    client = server.sync_client()
    run_id = client.submit(FLOW, {"n": 1})
    values = {"flow": FLOW, "input": {"n": 1}, "inputs": [{"n": 1}], "data": {"a": 1}, "step_id": "a", "path": "a.yaml"}
    values["flows"] = [FLOW]
    values |= {"run_id": run_id, "a": run_id, "b": run_id, "idempotency_key": "k", "client": client, "mock": 1}
    values |= {"flow_id": client.store_flow(FLOW).flow_id, "blob_id": client.store_blob({"a": 1}).blob_id}
    tests = testing.read_tests("a.yaml")
    done = testing.run_cases(client, tests, tests.cases)[0]
    values |= {"tests": tests, "cases": list(tests.cases), "done": done, "result": done.result}
    values |= {"outputs": {"a": 1}, "mocks": {"a": 1}, "expected": {}, "actual": 2, "content": b"", "source": "a.yaml"}
    return SimpleNamespace(server=server, client=client, values=values)


@pytest.fixture(autouse=True)
def tests_in_a_file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make right values of files; nothing is written elsewhere, and no server is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(tmp_path / "no such binary"))
    monkeypatch.setattr(logging.getLogger("stepflow"), "disabled", True)
    (tmp_path / "a.yaml").write_text(TESTS, "utf-8")
    # A server that kept the runs of all tests would list ever more of them. Few functions start any.
    if request.function is not test_functions_and_classes:
        given.cache_clear()


def parameters(function: Any) -> list[inspect.Parameter]:
    """Return the parameters that have names; those of options by their own names."""
    found = []
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.VAR_POSITIONAL:
            continue
        if each.kind is not each.VAR_KEYWORD:
            found.append(each)
        elif "Unpack[" in str(each.annotation):
            options = getattr(options_module, str(each.annotation).removeprefix("Unpack[").removesuffix("]"))
            keyword = inspect.Parameter.KEYWORD_ONLY
            found += [inspect.Parameter(name, keyword, default=None) for name in options.__annotations__]
    return found


def methods(kind: Any) -> list[str]:
    names = [name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")]
    return [name for name in names if name not in ("close", "aclose", "from_env")]


@cache
def functions() -> dict[str, Any]:
    """Return all public functions and classes by name."""
    found = {}
    for module in ("", *PUBLIC_MODULES):
        home = import_module(f"stepflow_client.{module}".rstrip("."))
        for name in home.__all__:
            member = getattr(home, name)
            if inspect.isroutine(member) or (inspect.isclass(member) and not is_record(member)):
                found.setdefault(name, member)
    for name in ("SyncStepflowClient", "StepflowExecutor"):
        del found[name]
    found["from_env"] = StepflowClient.from_env
    found["StepflowRuntime.start"] = StepflowRuntime.start
    return found


def by_name(function: Any) -> Callable[..., Any]:
    """Return a function that takes all arguments by name, also those that are positional only."""
    first = [each.name for each in parameters(function) if each.kind is each.POSITIONAL_ONLY]

    def call(**arguments: Any) -> Any:
        positional = [arguments.pop(name) for name in first if name in arguments]
        return function(*positional, **arguments)

    return call


@contextmanager
def writing_a_flow() -> Iterator[None]:
    """Let values of a flow be right ones, and steps be added to it."""
    scope = Scope("the flow written", "given")
    value, variable = (Value(Read(scope, source, (), Any)) for source in (None, "tone"))
    given().values |= {"value": value, "variable": variable, "condition": value, "kind": Named}
    given().values |= {"key": "n", "items": [1], "body": lambda element: element}
    with scope.activate():
        yield


def foreign(call: Callable[..., Any], of: Any, kinds: Any = VALUES) -> list[str]:
    """Return the foreign errors of a function, for each of its parameters and each kind of value."""
    found = []
    listed = parameters(of)
    right = {each.name: given().values.get(each.name) for each in listed if each.default is each.empty}
    for each in listed:
        for kind in kinds:
            try:
                call(**{**right, each.name: VALUES[kind]()})
            except StepflowClientError:
                pass
            except Exception as error:
                found.append(f"{each.name}: {kind}: {type(error).__name__}: {str(error)[:80]}")
    return found


def used(found: Any) -> Any:
    """Read the first part of what is iterated."""
    if inspect.iscoroutine(found):
        asyncio.run(used_async(found))
    if isinstance(found, Iterator):
        list(islice(found, 3))
        getattr(found, "close", lambda: None)()
    return found


async def used_async(found: Any) -> None:
    if isinstance(found, AsyncIterator):
        async for _ in found:
            break
        await found.aclose()  # type: ignore[attr-defined]
    elif inspect.isawaitable(found):
        await found


@pytest.mark.parametrize("name", [each for each in methods(StepflowClient) if each != "with_options"])
def test_methods_of_clients(name: str) -> None:
    method = getattr(given().client, name)
    assert foreign(lambda **arguments: used(method(**arguments)), method) == []
    asynchronous = getattr(StepflowClient, name)

    def call(**arguments: Any) -> None:
        async def main() -> None:
            async with given().server.client() as client:
                await used_async(getattr(client, name)(**arguments))

        asyncio.run(main())

    assert foreign(call, asynchronous.__get__(object()), FEW) == []


def test_options_of_clients() -> None:
    def call(**options: Any) -> None:
        view = given().client.with_options(**options)
        view.run(FLOW, {"n": 1})
        list(view.map(FLOW, [{"n": 1}]))
        view.start_run(FLOW, {"n": 1}).wait()

    signature = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
            for name in ClientOptions.__annotations__
        ]
    )
    call.__signature__ = signature  # type: ignore[attr-defined]
    assert foreign(call, call) == []


@pytest.mark.parametrize("name", methods(stepflow_client.RunHandle))
def test_methods_of_handles(name: str) -> None:
    method = getattr(given().client.handle(given().values["run_id"]), name)
    assert foreign(lambda **arguments: used(method(**arguments)), method) == []


@pytest.mark.parametrize("name", ["call", "start", "to_openai"])
def test_methods_of_tools(name: str) -> None:
    of_flows = tools.SyncFlowTools(given().client, [FLOW])
    for each in (of_flows, of_flows[0]):
        if method := getattr(each, name, None):
            assert foreign(lambda method=method, **arguments: used(method(**arguments)), method) == []


def test_the_client_of_tools_is_of_their_kind() -> None:
    client, twin = StepflowClient(), given().client
    for each in (client, create_autospec(StepflowClient, instance=True)):
        assert tools.FlowTools(each, FLOW).client is each
    for each in (twin, create_autospec(type(twin), instance=True)):
        assert tools.SyncFlowTools(each, FLOW).client is each
    for kind, wanted in (
        (tools.FlowTools, "a StepflowClient or a StepflowRuntime"),
        (tools.SyncFlowTools, "a SyncStepflowClient"),
    ):
        other = client if kind is tools.SyncFlowTools else twin
        for value in (other, StepflowClient, type(twin), *(make() for make in VALUES.values())):
            with pytest.raises(InvalidArgumentError, match=f"client must be {wanted}, not "):
                kind(value, FLOW)


def recorded() -> stepflow_client.History:
    history = stepflow_client.History("history.db")
    history.record(given().values["run_id"], flow=FLOW)
    return history


def evaluated() -> EvaluationReport:
    pairs = [(str(case), variant) for case in range(30) for variant in ("now", "next")]
    return EvaluationReport(
        [EvaluationItem(case=case, variant=variant, scores={"right": variant == "next"}) for case, variant in pairs]
    )


OBJECTS: dict[str, Callable[[], Any]] = {
    "drawing.Drawing": lambda: drawing.draw(FLOW),
    "drawing.RunReport": lambda: drawing.gather(given().client, given().values["run_id"]),
    "evaluation.EvaluationReport": evaluated,
    "evaluation.Score": evaluation.exact,
    "testing.FakeServer": testing.fake_server,
    "testing.Recording": lambda: testing.Recording("recording.json"),
    "testing.Servers": testing.Servers,
    "testing.StepflowMock": lambda: testing.StepflowMock(given().client),
    "History": recorded,
    "LogConfig": stepflow_client.LogConfig,
    "OutcomeWriter": lambda: stepflow_client.write_outcomes(io.StringIO(), format="jsonl"),
    "ResultCache": lambda: stepflow_client.ResultCache("cache.db"),
    "RunAccount": lambda: stepflow_client.RunAccount(given().values["run_id"], 0, ExecutionStatus.COMPLETED),
    "flow_models.TypedFlow": lambda: TypedFlow(FLOW),
    "flows.InferredFlow": lambda: infer(FLOW),
}
"""Objects of the classes whose methods have arguments, by the names of their classes, besides clients and handles."""
ELSEWHERE = {
    "StepflowClient",
    "SyncStepflowClient",
    "RunHandle",
    "SyncRunHandle",
    "tools.FlowTool",
    "tools.FlowTools",
    "tools.SyncFlowTool",
    "tools.SyncFlowTools",
    "authoring.Flow",
    # Its methods are those of the client, which it starts a server for; and the protocol has no code.
    "StepflowRuntime",
    "StepflowExecutor",
}
"""Classes with tests of their own."""


def class_of(name: str) -> Any:
    module, _, member = name.rpartition(".")
    return getattr(import_module(f"stepflow_client.{module}".rstrip(".")), member)


def with_arguments(kind: Any) -> list[str]:
    return [
        name for name in methods(kind) if name not in ("index", "count") and len(parameters(getattr(kind, name))) > 1
    ]


def test_all_classes_are_tried() -> None:
    public = {}
    # The shortest name of a class that several modules export is the last one.
    for module in (*reversed(PUBLIC_MODULES), ""):
        home = import_module(f"stepflow_client.{module}".rstrip("."))
        kinds = [(name, getattr(home, name)) for name in home.__all__]
        public |= {kind: f"{module}.{name}".lstrip(".") for name, kind in kinds if isinstance(kind, type)}
    others = (BaseModel, Exception, dict, list, str, tuple)
    tried = {name for kind, name in public.items() if not issubclass(kind, others) and with_arguments(kind)}
    assert tried == OBJECTS.keys() | ELSEWHERE


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in OBJECTS for name in with_arguments(class_of(kind))]
)
def test_methods_of_objects(kind: str, name: str) -> None:
    given().values |= {
        "variant": "next",
        "baseline": "now",
        "score": "right",
        "folder": "eval",
        "case": "one",
        "outcome": {},
    }
    given().values |= {"index": 0, "step": given().client.get_run_steps(given().values["run_id"])[0]}
    method = getattr(OBJECTS[kind](), name)
    if name == "with_baseline":
        given().values["baseline"] = evaluated()
    assert foreign(lambda **arguments: used(method(**arguments)), method) == []


@pytest.mark.parametrize("name", [each for each in methods(Flow) if each not in methods(FlowMethods)])
def test_methods_of_flows(name: str) -> None:
    @flow
    def written(given: Any, *, tone: str = "friendly") -> Any:
        return given.n

    given().values |= {"name": "one", "path": "written.yaml"}
    method = getattr(written, name)
    assert foreign(method, method) == []


def flags(of: Any) -> list[str]:
    """Return the parameters of a function that take True or False."""
    return [each.name for each in parameters(of) if str(each.annotation) in ("bool", "bool | None")]


def accepted(call: Callable[..., Any], of: Any) -> list[str]:
    """Return the flags of a function that take a text, which would count as True."""
    right = {each.name: given().values.get(each.name) for each in parameters(of) if each.default is each.empty}
    found = []
    for name in flags(of):
        try:
            used(call(**{**right, name: "no"}))
        except (InvalidArgumentError, AuthoringError) as error:
            if f"{name} must be True or False, not 'no'" in str(error):
                continue
        found.append(name)
    return found


def test_a_flag_is_true_or_false() -> None:
    client, handle = given().client, given().client.handle(given().values["run_id"])
    made = (client, handle, *(make() for make in OBJECTS.values()))
    of_objects = {f"{type(each).__name__}.{name}": getattr(each, name) for each in made for name in methods(type(each))}
    of_objects["sync_sse_events"] = partial(web.sync_sse_events, handle)
    of_objects["sse_events"] = partial(web.sse_events, StepflowClient().handle(handle.run_id))
    of_objects["evaluate"] = partial(functions()["evaluate"], StepflowClient())
    tried = {
        name: each
        for name, each in (functions() | of_objects).items()
        if flags(each) and name not in RESULTS and not (isinstance(each, type) and issubclass(each, Model))
    }
    assert len([flag for each in tried.values() for flag in flags(each)]) > 40
    with writing_a_flow():
        assert {name: found for name, each in tried.items() if (found := accepted(each, each))} == {}


@pytest.mark.parametrize("name", sorted(functions()))
def test_functions_and_classes(name: str) -> None:
    function = functions()[name]
    call = by_name(function)
    with writing_a_flow():
        assert foreign(lambda **arguments: used(call(**arguments)), function) == []


def test_many_are_tried() -> None:
    assert len(functions()) > 40
    tried = [*functions().values(), *(getattr(StepflowClient, name) for name in methods(StepflowClient))]
    assert sum(len(parameters(each)) * len(VALUES) for each in tried) > 10_000


def test_the_message_names_the_argument_and_what_it_must_be() -> None:
    assert str(argument_error("limit", "a number", [1])) == "limit must be a number, not [1]"
    assert str(argument_error("limit", "a number", Unprintable())) == "limit must be a number, not that Unprintable"
    assert len(str(argument_error("limit", "a number", "a" * 10_000))) < 300
