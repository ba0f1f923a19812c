"""The error tree: base classes, attributes, messages, pickling and copying."""

from __future__ import annotations

import copy
import os
import pickle
from errno import ENOENT
from typing import Any
from uuid import UUID

import pytest
import stepflow_client
from stepflow_client import errors
from stepflow_client.types import Diagnostic, FlowResult

RUN_ID = "01900000-0000-7000-8000-000000000001"
CLASSES = [getattr(errors, name) for name in errors.__all__]
OWN: dict[type, dict[str, Any]] = {
    errors.AuthoringError: {"path": "order.py", "line": 3, "column": 7},
    errors.FlowFileError: {"path": "flow.yaml", "line": 3, "column": 7},
    errors.FlowFileNotFoundError: {"path": "flow.yaml"},
    errors.NotAFlowError: {"path": "flow.yaml"},
    errors.InvalidFlowError: {
        "diagnostics": [Diagnostic(level="fatal", kind="k", code=1, message="m")],
        "status_code": 400,
    },
    errors.RunFailedError: {"result": FlowResult(run_id=RUN_ID, status="failed"), "run_id": RUN_ID},
    errors.OutputTypeError: {"result": FlowResult(run_id=RUN_ID, status="completed"), "run_id": RUN_ID},
    errors.AmbiguousRunError: {"candidates": [RUN_ID], "hint": "look at list_runs()"},
    errors.ServerStartError: {"exit_code": -9, "log_tail": ["a", "b"], "hint": "look at the log"},
    errors.ServerStartTimeoutError: {"exit_code": None, "log_tail": ["a"], "hint": "look at the log"},
}
COMMON = {"status_code": 418, "details": {"a": [1, None]}, "run_id": RUN_ID, "hint": "do this"}


def make(cls: type[errors.StepflowClientError]) -> errors.StepflowClientError:
    return cls("It went wrong", **OWN.get(cls, COMMON))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_attribute_survives_a_pickle(cls: type[errors.StepflowClientError]) -> None:
    error = make(cls)
    error.add_note("seen by the test")
    for protocol in (0, 2, pickle.HIGHEST_PROTOCOL):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is cls
        assert vars(again) == vars(error)
        assert again.args == error.args == ("It went wrong",)
        assert str(again) == str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_can_be_copied(cls: type[errors.StepflowClientError]) -> None:
    error = make(cls)
    assert vars(copy.copy(error)) == vars(error)
    assert str(copy.deepcopy(error)) == str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_exported_documented_and_in_the_tree(cls: type[errors.StepflowClientError]) -> None:
    assert issubclass(cls, errors.StepflowClientError)
    assert getattr(stepflow_client, cls.__name__) is cls
    assert cls.__doc__
    assert cls.__name__ in (errors.__doc__ or "")


def test_the_docstring_draws_the_actual_tree() -> None:
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip(" │├└─").split(" ")[0]
        if name in errors.__all__:
            drawn.append((line.index(name), name))
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for depth, name in drawn:
        while above and above[-1][0] >= depth:
            above.pop()
        if above:
            parents[name] = above[-1][1]
        above.append((depth, name))
    assert sorted(name for _, name in drawn) == sorted(errors.__all__)
    for name, parent in parents.items():
        assert getattr(errors, name).__bases__[0] is getattr(errors, parent)


def test_str_joins_the_message_and_the_hint() -> None:
    assert str(errors.NotFoundError("No such run", status_code=404)) == "No such run"
    assert str(errors.NotFoundError("No such run", hint="look again")) == "No such run (look again)"
    assert str(errors.RunTimeoutError("It goes on", hint="wait")) == "It goes on (wait)"


def test_run_ids_become_strings() -> None:
    assert errors.NotFoundError("x", run_id=UUID(RUN_ID)).run_id == RUN_ID
    assert errors.AmbiguousRunError("x", candidates=[UUID(RUN_ID)]).candidates == [RUN_ID]
    assert errors.NotFoundError("x").run_id is None


def test_errors_also_have_builtin_base_classes() -> None:
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(errors.RunTimeoutError, TimeoutError)
    assert issubclass(errors.ServerStartTimeoutError, TimeoutError)
    assert issubclass(errors.ServerNotInstalledError, FileNotFoundError)
    assert issubclass(errors.ServerConnectionError, ConnectionError)
    assert issubclass(errors.ClientClosedError, RuntimeError)


def test_a_missing_file_has_the_attributes_of_file_not_found_error() -> None:
    error = pickle.loads(pickle.dumps(errors.FlowFileNotFoundError("flow.yaml does not exist", path="flow.yaml")))
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename, error.strerror) == (ENOENT, "flow.yaml", os.strerror(ENOENT))
    assert str(error) == "flow.yaml does not exist"


def test_a_missing_binary_is_a_file_not_found_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", "/no/such/binary")
    with pytest.raises(FileNotFoundError, match="/no/such/binary") as caught:
        stepflow_client.StepflowRuntime.start()
    assert isinstance(caught.value, errors.ServerNotInstalledError)
    assert caught.value.errno == ENOENT


def test_sequences_are_copied_into_lists() -> None:
    tail = ["a"]
    error = errors.ServerStartError("x", log_tail=tail)
    tail.append("b")
    assert error.log_tail == ["a"]
    assert (errors.InvalidFlowError("x").diagnostics, errors.InvalidFlowError("x").status_code) == ([], 400)


def test_timeouts_are_timeout_errors() -> None:
    for cls in (errors.RequestTimeoutError, errors.RunTimeoutError, errors.ServerStartTimeoutError):
        assert issubclass(cls, TimeoutError)


def test_which_errors_are_retryable() -> None:
    retryable = {cls for cls in CLASSES if make(cls).is_retryable}
    assert retryable == {
        errors.TransportError,
        errors.ServerConnectionError,
        errors.RequestTimeoutError,
        errors.RateLimitError,
        errors.ServerFaultError,
    }
    assert make(errors.StepflowClientError).retry_after is None


def test_key_conflicts_and_journal_errors_are_not_argument_errors() -> None:
    for cls in (errors.IdempotencyConflictError, errors.JournalError):
        assert not issubclass(cls, errors.InvalidArgumentError)
