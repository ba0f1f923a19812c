"""Short tracebacks for IPython; tests/environments checks them in a kernel."""

from __future__ import annotations

import pickle

import pytest
from stepflow_client import InvalidArgumentError, StepflowClientError
from stepflow_client.testing import fake_server


def test_a_short_traceback_has_the_line_the_message_and_the_hint() -> None:
    with fake_server().sync_client() as client, pytest.raises(InvalidArgumentError) as caught:
        client.get_run("x")
    error = caught.value
    error.hint = "look at the list"
    error.add_note("a note")
    lines = error._render_traceback_()
    assert lines[1].endswith('client.get_run("x")')
    assert lines[3:] == [
        "InvalidArgumentError: a run ID must be a UUID, not 'x'",
        "Hint: look at the list",
        "a note",
        "",
        "%tb shows the whole traceback.",
    ]
    full = "".join(error._render_traceback_())
    assert "Traceback (most recent call last)" in full
    assert "check_run_id" in full


def test_control_characters_are_replaced() -> None:
    lines = StepflowClientError("first\x1b[31m\nsecond\u202e", hint="\x07")._render_traceback_()
    assert lines[:3] == ["StepflowClientError: first·[31m", "second·", "Hint: ·"]


def test_an_unpickled_error_has_a_short_traceback_first() -> None:
    error = StepflowClientError("no", hint="yes")
    error._render_traceback_()
    unpickled = pickle.loads(pickle.dumps(error))
    assert vars(unpickled) == vars(error)
    assert unpickled._render_traceback_()[0] == "StepflowClientError: no"
