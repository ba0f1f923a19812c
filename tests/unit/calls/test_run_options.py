"""Option types match the keyword arguments of the methods that accept them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from stepflow_client import MapOptions, RunOptions, StepflowClient, StepflowExecutor, StepflowRuntime, SubmitOptions
from stepflow_client._calls import method_options
from stepflow_client._calls.method_options import EventOptions, RerunOptions, RunFilters


def keyword_names(method: Any) -> set[str]:
    """Return the names of a method's keyword arguments, including those of `**options: Unpack[...]`."""
    parameters = inspect.signature(method).parameters.values()
    names = {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    for each in parameters:
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            # Most annotation types are imported only for type checkers.
            name = str(each.annotation).removeprefix("Unpack[").removesuffix("]")
            names |= getattr(method_options, name).__annotations__.keys()
    return names


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (RunOptions, StepflowClient.run),
        (RunOptions, StepflowExecutor.run),
        (SubmitOptions, StepflowClient.submit),
        (SubmitOptions, StepflowExecutor.submit),
        (EventOptions, StepflowClient.run_events),
        (RerunOptions, StepflowClient.rerun),
        (RunFilters, StepflowClient.list_runs),
        (MapOptions, StepflowClient.map),
    ],
)
def test_options_match_the_keyword_arguments(options: Any, method: Any) -> None:
    assert set(options.__annotations__) == keyword_names(method) - {"output_type"}


NOT_FORWARDED = {"from_env": "a runtime is made by `start`"}
"""Client methods missing from the runtime, with the reason."""
OWN = {"wait_ready": "it waits for the server to start; `runtime.client.wait_ready` waits for workers"}
"""Runtime methods that differ from the client methods of the same name."""
REIMPLEMENTED = {"aclose": "it stops the server", "with_options": "it returns a client"}
"""Runtime methods with the client's signature that do not call the client's method."""


def test_the_runtime_has_every_method_of_its_client() -> None:
    methods = dict(inspect.getmembers(StepflowClient, inspect.isfunction)) | {"from_env": StepflowClient.from_env}
    public = {name: method for name, method in methods.items() if not name.startswith("_")}
    assert len(public) > 30
    missing = {name for name in public if not hasattr(StepflowRuntime, name)}
    assert missing == NOT_FORWARDED.keys()
    for name in public.keys() - missing - OWN.keys():
        ours, theirs = getattr(StepflowRuntime, name), public[name]
        assert [*inspect.signature(ours).parameters.values()] == [*inspect.signature(theirs).parameters.values()], name
        assert inspect.iscoroutinefunction(ours) is inspect.iscoroutinefunction(theirs), name
        if name not in REIMPLEMENTED:
            assert ours.__module__ == StepflowRuntime.__module__ or ours.__wrapped__ is theirs, name


@pytest.mark.parametrize(
    ("name", "positional"),
    [
        ("run", ["flow", "input", "overrides"]),
        ("submit", ["flow", "input", "overrides"]),
        ("start_run", ["flow", "input", "overrides"]),
        # Positional overrides would be mistaken for variables.
        ("create_run", ["flow_id", "input"]),
    ],
)
def test_positional_parameters_are_consistent_across_methods(name: str, positional: list[str]) -> None:
    parameters = inspect.signature(getattr(StepflowClient, name)).parameters.values()
    assert [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD] == ["self", *positional]
