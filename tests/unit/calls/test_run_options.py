"""The options that code passes on are those of the methods."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from stepflow_client import MapOptions, RunOptions, StepflowClient, StepflowExecutor, StepflowRuntime, SubmitOptions
from stepflow_client._calls import call_options
from stepflow_client._calls.call_options import EventOptions, RerunOptions, RunFilters


def keywords(method: Any) -> set[str]:
    """Return the names of the keywords of a method: also those of `**options: Unpack[...]`."""
    found = inspect.signature(method).parameters.values()
    names = {each.name for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY}
    for each in found:
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            # Most types of a method are imported for type checkers only.
            name = str(each.annotation).removeprefix("Unpack[").removesuffix("]")
            names |= getattr(call_options, name).__annotations__.keys()
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
def test_options_are_the_keywords_of_the_method(options: Any, method: Any) -> None:
    assert set(options.__annotations__) == keywords(method) - {"output_type"}


NOT_FORWARDED = {"from_env": "a runtime is made by `start`"}
"""Methods of the client that the runtime does not have, with the reason."""
OWN = {"wait_ready": "it waits for the server to start; `runtime.client.wait_ready` waits for workers"}
"""Methods of the runtime that are others than those of the client."""
OTHERWISE = {"aclose": "it stops the server", "with_options": "it returns a client"}
"""Methods that the runtime has, with the same parameters, and that do not call the client's."""


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
        if name not in OTHERWISE:
            assert ours.__module__ == StepflowRuntime.__module__ or ours.__wrapped__ is theirs, name


@pytest.mark.parametrize(
    ("name", "positional"),
    [
        ("run", ["flow", "input", "overrides"]),
        ("submit", ["flow", "input", "overrides"]),
        ("start_run", ["flow", "input", "overrides"]),
        # Overrides that are given by position would be taken as variables.
        ("create_run", ["flow_id", "input"]),
    ],
)
def test_what_is_given_by_position_is_the_same_in_all_methods(name: str, positional: list[str]) -> None:
    found = inspect.signature(getattr(StepflowClient, name)).parameters.values()
    assert [each.name for each in found if each.kind is each.POSITIONAL_OR_KEYWORD] == ["self", *positional]
