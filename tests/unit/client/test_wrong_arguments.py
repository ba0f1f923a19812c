"""Public functions raise only this package's errors, whatever arguments they get.

Each parameter of each public function, class and method gets values of many kinds, while all other arguments are valid.
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
from stepflow_client._calls import method_options as options_module
from stepflow_client._calls.method_options import ClientOptions
from stepflow_client._data.arguments import argument_error
from stepflow_client.authoring import Flow, flow
from stepflow_client.authoring._placeholders import Read, Value
from stepflow_client.authoring._run_methods import FlowMethods
from stepflow_client.authoring._scopes import Scope
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


def self_containing_list() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@cache
def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(2_000):
        value = {"a": value}
    return value


def raise_invalid_argument(*_: Any) -> Any:
    raise InvalidArgumentError("the caller's own function may raise anything")


VALUES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "object": object,
    "class": lambda: StepflowClientError,
    "function": lambda: raise_invalid_argument,
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
    "endless": self_containing_list,
    "deep": deep,
    "generator": lambda: (each for each in ()),
    "enum": lambda: Colour.RED,
    "path": lambda: Path("no such file"),
    "exception": lambda: ValueError("given"),
    "unprintable": Unprintable,
}
ASYNC_KINDS = ("object", "negative", "surrogate", "list", "deep", "unprintable")
"""A few kinds for the async twin, from which the sync twin is generated."""
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
"""Classes that only this package instantiates, although they are callable."""


def is_record(member: Any) -> bool:
    """Return whether only this package instantiates a class, or Python itself checks its arguments."""
    if not isinstance(member, type):
        return False
    return member.__name__ in MADE_HERE | {"ComponentList", "Flow"} or issubclass(member, (Enum, Exception, dict))


@cache
def context() -> SimpleNamespace:
    """Return a fake server, its client, and valid values by parameter name; requires the file a.yaml."""
    server = testing.fake_server()
    client = server.sync_client()
    run_id = client.submit(FLOW, {"n": 1})
    values = {"flow": FLOW, "input": {"n": 1}, "inputs": [{"n": 1}], "data": {"a": 1}, "step_id": "a", "path": "a.yaml"}
    values["flows"] = [FLOW]
    values |= {"run_id": run_id, "a": run_id, "b": run_id, "idempotency_key": "k", "client": client, "mock": 1}
    values |= {"flow_id": client.store_flow(FLOW).flow_id, "blob_id": client.store_blob({"a": 1}).blob_id}
    tests = testing.read_tests("a.yaml")
    case_result = testing.run_cases(client, tests, tests.cases)[0]
    values |= {"tests": tests, "cases": list(tests.cases), "done": case_result, "result": case_result.result}
    values |= {"outputs": {"a": 1}, "mocks": {"a": 1}, "expected": {}, "actual": 2, "content": b"", "source": "a.yaml"}
    return SimpleNamespace(server=server, client=client, values=values)


@pytest.fixture(autouse=True)
def isolated_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a.yaml to a temporary folder, keep all other files there too, and start no server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(tmp_path / "no such binary"))
    monkeypatch.setattr(logging.getLogger("stepflow"), "disabled", True)
    (tmp_path / "a.yaml").write_text(TESTS, "utf-8")
    # Use a fresh server per test, so that listings of runs stay short; few of these functions start runs.
    if request.function is not test_functions_and_classes_raise_only_package_errors:
        context.cache_clear()


def parameters(function: Any) -> list[inspect.Parameter]:
    """Return the named parameters, with `**options` expanded to its keys."""
    named = []
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.VAR_POSITIONAL:
            continue
        if each.kind is not each.VAR_KEYWORD:
            named.append(each)
        elif "Unpack[" in str(each.annotation):
            options = getattr(options_module, str(each.annotation).removeprefix("Unpack[").removesuffix("]"))
            keyword = inspect.Parameter.KEYWORD_ONLY
            named += [inspect.Parameter(name, keyword, default=None) for name in options.__annotations__]
    return named


def methods(kind: Any) -> list[str]:
    names = [name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")]
    return [name for name in names if name not in ("close", "aclose", "from_env")]


@cache
def functions() -> dict[str, Any]:
    """Return the public functions and classes by name."""
    members = {}
    for module in ("", *PUBLIC_MODULES):
        home = import_module(f"stepflow_client.{module}".rstrip("."))
        for name in home.__all__:
            member = getattr(home, name)
            if inspect.isroutine(member) or (inspect.isclass(member) and not is_record(member)):
                members.setdefault(name, member)
    for name in ("SyncStepflowClient", "StepflowExecutor"):
        del members[name]
    members["from_env"] = StepflowClient.from_env
    members["StepflowRuntime.start"] = StepflowRuntime.start
    return members


def accept_by_name(function: Any) -> Callable[..., Any]:
    """Wrap a function so that positional-only arguments can be passed by name."""
    first = [each.name for each in parameters(function) if each.kind is each.POSITIONAL_ONLY]

    def call(**arguments: Any) -> Any:
        positional = [arguments.pop(name) for name in first if name in arguments]
        return function(*positional, **arguments)

    return call


@contextmanager
def building_a_flow() -> Iterator[None]:
    """Build a flow, so that its values are valid arguments and steps can be added."""
    scope = Scope("the flow written", "given")
    value, variable = (Value(Read(scope, source, (), Any)) for source in (None, "tone"))
    context().values |= {"value": value, "variable": variable, "condition": value, "kind": Named}
    context().values |= {"key": "n", "items": [1], "body": lambda element: element}
    with scope.activate():
        yield


def unexpected_errors(call: Callable[..., Any], of: Any, kinds: Any = VALUES) -> list[str]:
    """Call a function with each kind of value for each parameter; return the errors of other packages."""
    errors = []
    all_parameters = parameters(of)
    valid = {each.name: context().values.get(each.name) for each in all_parameters if each.default is each.empty}
    for each in all_parameters:
        for kind in kinds:
            try:
                call(**{**valid, each.name: VALUES[kind]()})
            except StepflowClientError:
                pass
            except Exception as error:
                errors.append(f"{each.name}: {kind}: {type(error).__name__}: {str(error)[:80]}")
    return errors


def consume(result: Any) -> Any:
    """Await a coroutine or read the first elements of an iterator."""
    if inspect.iscoroutine(result):
        asyncio.run(consume_async(result))
    if isinstance(result, Iterator):
        list(islice(result, 3))
        getattr(result, "close", lambda: None)()
    return result


async def consume_async(result: Any) -> None:
    if isinstance(result, AsyncIterator):
        async for _ in result:
            break
        await result.aclose()  # type: ignore[attr-defined]
    elif inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("name", [each for each in methods(StepflowClient) if each != "with_options"])
def test_client_methods_raise_only_package_errors(name: str) -> None:
    method = getattr(context().client, name)
    assert unexpected_errors(lambda **arguments: consume(method(**arguments)), method) == []
    asynchronous = getattr(StepflowClient, name)

    def call(**arguments: Any) -> None:
        async def main() -> None:
            async with context().server.client() as client:
                await consume_async(getattr(client, name)(**arguments))

        asyncio.run(main())

    assert unexpected_errors(call, asynchronous.__get__(object()), ASYNC_KINDS) == []


def test_client_options_raise_only_package_errors() -> None:
    def call(**options: Any) -> None:
        view = context().client.with_options(**options)
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
    assert unexpected_errors(call, call) == []


@pytest.mark.parametrize("name", methods(stepflow_client.RunHandle))
def test_handle_methods_raise_only_package_errors(name: str) -> None:
    method = getattr(context().client.handle(context().values["run_id"]), name)
    assert unexpected_errors(lambda **arguments: consume(method(**arguments)), method) == []


@pytest.mark.parametrize("name", ["call", "start", "to_openai"])
def test_tool_methods_raise_only_package_errors(name: str) -> None:
    flow_tools = tools.SyncFlowTools(context().client, [FLOW])
    for each in (flow_tools, flow_tools[0]):
        if method := getattr(each, name, None):
            assert unexpected_errors(lambda method=method, **arguments: consume(method(**arguments)), method) == []


def test_flow_tools_require_the_matching_client() -> None:
    client, twin = StepflowClient(), context().client
    for each in (client, create_autospec(StepflowClient, instance=True)):
        assert tools.FlowTools(each, FLOW).client is each
    for each in (twin, create_autospec(type(twin), instance=True)):
        assert tools.SyncFlowTools(each, FLOW).client is each
    for kind, expected in (
        (tools.FlowTools, "a StepflowClient or a StepflowRuntime"),
        (tools.SyncFlowTools, "a SyncStepflowClient"),
    ):
        other = client if kind is tools.SyncFlowTools else twin
        for value in (other, StepflowClient, type(twin), *(make() for make in VALUES.values())):
            with pytest.raises(InvalidArgumentError, match=f"client must be {expected}, not "):
                kind(value, FLOW)


def history_with_a_run() -> stepflow_client.History:
    history = stepflow_client.History("history.db")
    history.record(context().values["run_id"], flow=FLOW)
    return history


def evaluation_report() -> EvaluationReport:
    pairs = [(str(case), variant) for case in range(30) for variant in ("now", "next")]
    return EvaluationReport(
        [EvaluationItem(case=case, variant=variant, scores={"right": variant == "next"}) for case, variant in pairs]
    )


OBJECTS: dict[str, Callable[[], Any]] = {
    "drawing.Drawing": lambda: drawing.draw(FLOW),
    "drawing.RunReport": lambda: drawing.gather(context().client, context().values["run_id"]),
    "evaluation.EvaluationReport": evaluation_report,
    "evaluation.Score": evaluation.exact,
    "testing.FakeServer": testing.fake_server,
    "testing.Recording": lambda: testing.Recording("recording.json"),
    "testing.Servers": testing.Servers,
    "testing.StepflowMock": lambda: testing.StepflowMock(context().client),
    "History": history_with_a_run,
    "LogConfig": stepflow_client.LogConfig,
    "OutcomeWriter": lambda: stepflow_client.write_outcomes(io.StringIO(), format="jsonl"),
    "ResultCache": lambda: stepflow_client.ResultCache("cache.db"),
    "RunAccount": lambda: stepflow_client.RunAccount(context().values["run_id"], 0, ExecutionStatus.COMPLETED),
    "flow_models.TypedFlow": lambda: TypedFlow(FLOW),
    "flows.InferredFlow": lambda: infer(FLOW),
}
"""Factories of objects whose methods accept arguments, by class name, except clients and handles."""
TESTED_ELSEWHERE = {
    "StepflowClient",
    "SyncStepflowClient",
    "RunHandle",
    "SyncRunHandle",
    "tools.FlowTool",
    "tools.FlowTools",
    "tools.SyncFlowTool",
    "tools.SyncFlowTools",
    "authoring.Flow",
    # The runtime has the client's methods, and the executor is a protocol without code.
    "StepflowRuntime",
    "StepflowExecutor",
}


def class_of(name: str) -> Any:
    module, _, member = name.rpartition(".")
    return getattr(import_module(f"stepflow_client.{module}".rstrip(".")), member)


def methods_with_arguments(kind: Any) -> list[str]:
    return [
        name for name in methods(kind) if name not in ("index", "count") and len(parameters(getattr(kind, name))) > 1
    ]


def test_every_class_is_covered() -> None:
    public = {}
    # If several modules export a class, the shortest name wins because it comes last.
    for module in (*reversed(PUBLIC_MODULES), ""):
        home = import_module(f"stepflow_client.{module}".rstrip("."))
        kinds = [(name, getattr(home, name)) for name in home.__all__]
        public |= {kind: f"{module}.{name}".lstrip(".") for name, kind in kinds if isinstance(kind, type)}
    excluded = (BaseModel, Exception, dict, list, str, tuple)
    covered = {name for kind, name in public.items() if not issubclass(kind, excluded) and methods_with_arguments(kind)}
    assert covered == OBJECTS.keys() | TESTED_ELSEWHERE


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in OBJECTS for name in methods_with_arguments(class_of(kind))]
)
def test_object_methods_raise_only_package_errors(kind: str, name: str) -> None:
    context().values |= {
        "variant": "next",
        "baseline": "now",
        "score": "right",
        "folder": "eval",
        "case": "one",
        "outcome": {},
    }
    context().values |= {"index": 0, "step": context().client.get_run_steps(context().values["run_id"])[0]}
    method = getattr(OBJECTS[kind](), name)
    if name == "with_baseline":
        context().values["baseline"] = evaluation_report()
    assert unexpected_errors(lambda **arguments: consume(method(**arguments)), method) == []


@pytest.mark.parametrize("name", [each for each in methods(Flow) if each not in methods(FlowMethods)])
def test_flow_methods_raise_only_package_errors(name: str) -> None:
    @flow
    def written(given: Any, *, tone: str = "friendly") -> Any:
        return given.n

    context().values |= {"name": "one", "path": "written.yaml"}
    method = getattr(written, name)
    assert unexpected_errors(method, method) == []


def flag_names(of: Any) -> list[str]:
    """Return the names of boolean parameters."""
    return [each.name for each in parameters(of) if str(each.annotation) in ("bool", "bool | None")]


def flags_accepting_text(call: Callable[..., Any], of: Any) -> list[str]:
    """Return the flags of a function that accept a string, which would count as True."""
    valid = {each.name: context().values.get(each.name) for each in parameters(of) if each.default is each.empty}
    names = []
    for name in flag_names(of):
        try:
            consume(call(**{**valid, name: "no"}))
        except (InvalidArgumentError, AuthoringError) as error:
            if f"{name} must be True or False, not 'no'" in str(error):
                continue
        names.append(name)
    return names


def test_flags_accept_only_booleans() -> None:
    client, handle = context().client, context().client.handle(context().values["run_id"])
    objects = (client, handle, *(make() for make in OBJECTS.values()))
    bound_methods = {
        f"{type(each).__name__}.{name}": getattr(each, name) for each in objects for name in methods(type(each))
    }
    bound_methods["sync_sse_events"] = partial(web.sync_sse_events, handle)
    bound_methods["sse_events"] = partial(web.sse_events, StepflowClient().handle(handle.run_id))
    bound_methods["evaluate"] = partial(functions()["evaluate"], StepflowClient())
    covered = {
        name: each
        for name, each in (functions() | bound_methods).items()
        if flag_names(each) and name not in RESULTS and not (isinstance(each, type) and issubclass(each, Model))
    }
    assert len([flag for each in covered.values() for flag in flag_names(each)]) > 40
    with building_a_flow():
        assert {name: names for name, each in covered.items() if (names := flags_accepting_text(each, each))} == {}


@pytest.mark.parametrize("name", sorted(functions()))
def test_functions_and_classes_raise_only_package_errors(name: str) -> None:
    function = functions()[name]
    call = accept_by_name(function)
    with building_a_flow():
        assert unexpected_errors(lambda **arguments: consume(call(**arguments)), function) == []


def test_many_arguments_are_covered() -> None:
    assert len(functions()) > 40
    covered = [*functions().values(), *(getattr(StepflowClient, name) for name in methods(StepflowClient))]
    assert sum(len(parameters(each)) * len(VALUES) for each in covered) > 10_000


def test_the_message_names_the_argument_and_the_expected_type() -> None:
    assert str(argument_error("limit", "a number", [1])) == "limit must be a number, not [1]"
    assert str(argument_error("limit", "a number", Unprintable())) == "limit must be a number, not that Unprintable"
    assert len(str(argument_error("limit", "a number", "a" * 10_000))) < 300
